/**
 * The base of both maps: Leaflet with translated controls, an optional basemap, a net of coordinates, and care for
 * those who use a keyboard or want less motion.
 */

import { element, reducedMotion } from "./dom.js";
import { number } from "./format.js";
import { text } from "./texts.js";

/**
 * A map.
 *
 * @param {HTMLElement} node Its place.
 * @param {string} label Its name for screen readers.
 * @param {{url: string, attribution: string}|null} basemap Tiles of another server; null for none.
 * @param {Object} [options] Options of `L.map`.
 * @returns {L.Map}
 */
export function createMap(node, label, basemap, options = {}) {
  const still = reducedMotion();
  const map = L.map(node, {
    zoomControl: false,
    attributionControl: false,
    zoomSnap: 0.25,
    zoomDelta: 1,
    wheelPxPerZoomLevel: 90,
    zoomAnimation: !still,
    fadeAnimation: false,
    inertia: !still,
    ...options,
  });
  L.control.zoom({ zoomInTitle: text("map.zoom_in"), zoomOutTitle: text("map.zoom_out") }).addTo(map);
  L.control.attribution({ prefix: '<a href="https://leafletjs.com">Leaflet</a>' }).addTo(map);
  L.control.scale({ imperial: false }).addTo(map);
  if (basemap) addBasemap(map, basemap);
  // After a resize Leaflet fires this with a delay, when the map may be gone.
  map.on("unload", () => map.off("moveend"));
  if (still) map.panBy = (offset, more) => L.Map.prototype.panBy.call(map, offset, { ...more, animate: false });
  fitPaper(map);
  node.setAttribute("role", "application");
  node.setAttribute("aria-label", label);
  return map;
}

function addBasemap(map, { url, attribution }) {
  // OpenStreetMap refuses requests that do not name the site that shows its tiles.
  L.tileLayer(url, { attribution: escaped(attribution), referrerPolicy: "origin" }).addTo(map);
}

/** Fit the map to paper, which is printed before an observer of sizes is called. */
function fitPaper(map) {
  const print = window.matchMedia("print");
  const fit = () => map.invalidateSize({ animate: false });
  print.addEventListener("change", fit);
  map.on("unload", () => print.removeEventListener("change", fit));
}

/** Leave a shape with a tooltip out of the order of the Tab key: a list or table offers the same. */
export function withoutTabStop(layer) {
  return layer.on("add", () => layer.getElement()?.setAttribute("tabindex", "-1"));
}

/** Text as Leaflet's attribution takes it: it reads HTML. */
export function escaped(words) {
  const holder = element("span", {}, words);
  return holder.innerHTML;
}

/**
 * A net of meridians and parallels in round steps, for a map without a basemap.
 *
 * @param {L.Map} map
 */
export function addGraticule(map) {
  map.createPane("graticule").style.zIndex = 150;
  const renderer = L.svg({ pane: "graticule", padding: 0.2 });
  const group = L.layerGroup().addTo(map);
  const line = (points) => L.polyline(points, { className: "graticule", renderer, interactive: false }).addTo(group);
  const label = (point, words, kind) =>
    L.marker(point, {
      pane: "graticule",
      interactive: false,
      keyboard: false,
      icon: L.divIcon({ className: `graticule-label ${kind}`, html: element("span", {}, words), iconSize: null }),
    }).addTo(group);

  function draw() {
    group.clearLayers();
    const view = map.getBounds();
    const [west, east] = [Math.max(view.getWest(), -180), Math.min(view.getEast(), 180)];
    const [south, north] = [Math.max(view.getSouth(), -85), Math.min(view.getNorth(), 85)];
    const step = graticuleStep(east - west);
    for (const at of multiples(west, east, step)) {
      line([[south, at], [north, at]]);
      label([south, at], degrees(at, "format.east", "format.west"), "meridian");
    }
    for (const at of multiples(south, north, step)) {
      line([[at, west], [at, east]]);
      label([at, west], degrees(at, "format.north", "format.south"), "parallel");
    }
  }
  map.on("moveend", draw);
  map.whenReady(draw);
}

function graticuleStep(width) {
  const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30];
  return steps.find((step) => width / step <= 7) ?? 30;
}

function multiples(low, high, step) {
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.max(0, Math.floor(high / step) - first + 1) }, (_, index) => (first + index) * step);
}

function degrees(at, positive, negative) {
  const words = `${number(Math.abs(at), Math.abs(at) % 1 < 1e-9 ? 0 : 2)}°`;
  return Math.abs(at) < 1e-9 ? words : `${words} ${text(at > 0 ? positive : negative)}`;
}

/**
 * A site's map: the picture of a year, a second one to compare with, vectors, swipe, and the point that is read.
 */

import { element, problem } from "./dom.js";
import { createMap, escaped } from "./map_base.js";
import { createSwipe } from "./map_swipe.js";
import { leafletBounds, PicturePane, pictureOf } from "./site_pictures.js";
import { VectorPanes } from "./site_vectors.js";
import { pairOf } from "./site_state.js";
import { text } from "./texts.js";

// Pictures lie below vectors; of each, the year compared with lies below. Lowest is a faint image, for orientation in
// maps of classes.
const PANES = ["picture-base", "picture-before", "picture-now", "vectors-before", "vectors-now", "vectors-changes", "vectors-fixed", "drawing"];
const LEFT = ["picture-before", "vectors-before"];
const RIGHT = ["picture-now", "vectors-now"];
// A second click within this time is a double click, which zooms.
const DOUBLE_CLICK = 230;

/**
 * A site's map.
 *
 * @param {HTMLElement} frame Its place.
 * @param {Object} site The answer of /api/sites/{id}.
 * @param {Object} store See site_state.js.
 * @param {Object} context See main.js.
 * @param {string[]} missing Years that were asked for in vain, which a note names until another year is chosen.
 * @returns {{map: L.Map, home: function(): void, remove: function(): void, onPoint: function|null}} `onPoint` may be
 *   set: it then gets each click, instead of the reading at a point.
 */
export function createSiteMap(frame, site, store, context, missing = []) {
  const node = element("div", { class: "site-map" });
  const badges = { left: element("div", { class: "year-badge left" }), right: element("div", { class: "year-badge right" }) };
  const status = element("div", { class: "map-status" });
  frame.append(node, badges.left, badges.right, status);
  const map = createMap(node, text("map.help", { site: site.name }), context.portfolio.features.basemap, { maxZoom: 20, minZoom: 3 });
  node.append(element("div", { class: "crosshair", "aria-hidden": "true" }));
  PANES.forEach((name, index) => (map.createPane(name).style.zIndex = String(250 + 20 * index)));
  if (site.attribution) map.attributionControl.addAttribution(escaped(site.attribution));
  const home = () => map.fitBounds(leafletBounds(site.bounds), { animate: false, padding: [8, 8] });
  const { at } = store.state;
  if (at) map.setView([at[0], at[1]], at[2], { animate: false });
  else home();

  const pictures = { now: new PicturePane(map, site.id, "picture-now"), before: new PicturePane(map, site.id, "picture-before"), base: new PicturePane(map, site.id, "picture-base") };
  const vectors = new VectorPanes(map, site);
  const swipe = createSwipe(map, { left: LEFT, right: RIGHT }, (split) => store.set({ split }));
  const parts = { map, home, onPoint: null, remove: () => map.remove() };
  const marker = L.circleMarker([0, 0], { pane: "drawing", radius: 7, color: "#fff", weight: 3, fillColor: "#000", fillOpacity: 1, interactive: false });

  function read(position) {
    if (parts.onPoint) parts.onPoint(position);
    else store.set({ point: [position.lng, position.lat], panel: "point" });
  }
  readOnClick(map, parts, read);
  map.on("moveend", () => {
    const { lat, lng } = map.getCenter();
    store.set({ at: [lat, lng, map.getZoom()] });
  });

  function placeMarker({ point }) {
    if (point) marker.setLatLng([point[1], point[0]]).addTo(map);
    else marker.remove();
  }

  async function draw(state) {
    const comparing = state.mode !== "off" && state.compare !== null;
    const now = pictureOf(site, state.layer, state.year, state.compare);
    const before = comparing ? pictureOf(site, state.layer, state.compare, state.year) : { layer: null, year: null };
    swipe.show(comparing && state.mode === "swipe", state.split, state.compare, state.year);
    map.getPane("picture-now").style.opacity = comparing && state.mode === "opacity" ? String(state.opacity) : "";
    label(badges, state, comparing);
    frame.setAttribute("aria-busy", "true");
    const turn = (draw.turn = (draw.turn ?? 0) + 1);
    const base = now.layer?.kind === "class" ? pictureOf(site, imageKey(site), state.year, null) : { layer: null, year: null };
    const shown = { now, before, base };
    const loading = Object.entries(shown).map(([name, { layer, year }]) => pictures[name].show(layer, year));
    loading.push(vectors.show(state));
    const done = await Promise.allSettled(loading);
    if (turn !== draw.turn) return;
    frame.removeAttribute("aria-busy");
    status.replaceChildren(...notes(now, state, done, missing));
  }

  store.listen((state, changed) => {
    if (missing.length && (changed.has("year") || changed.has("compare"))) {
      missing = [];
      status.replaceChildren(); // At once: the next notes come with the picture.
    }
    if (changed.has("point")) placeMarker(state);
    const drawn = ["layer", "year", "compare", "mode", "opacity", "split", "show"];
    if (drawn.some((name) => changed.has(name))) draw(state);
  });
  placeMarker(store.state);
  parts.ready = draw(store.state);
  return parts;
}

function imageKey({ layers }) {
  return layers.find(({ kind }) => kind === "image")?.key;
}

function readOnClick(map, parts, read) {
  let waiting = null;
  map.on("click", ({ latlng }) => {
    window.clearTimeout(waiting);
    if (parts.onPoint) read(latlng); // Corners of a drawing follow the pointer at once.
    else waiting = window.setTimeout(() => read(latlng), DOUBLE_CLICK);
  });
  map.on("dblclick", () => window.clearTimeout(waiting));
  map.on("unload", () => window.clearTimeout(waiting));
  map.getContainer().addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target !== map.getContainer()) return;
    event.preventDefault();
    read(map.getCenter());
  });
}

function label(badges, state, comparing) {
  const pair = pairOf(state);
  const changes = (state.show.includes("changes") || state.layer === "change") && pair && !comparing;
  badges.left.textContent = comparing ? state.compare : "";
  badges.left.hidden = !comparing;
  badges.right.textContent = changes ? `${pair[0]} → ${pair[1]}` : String(state.year ?? "");
}

/** Notes on years and pictures that cannot be shown. */
function notes({ layer, year }, state, done, missing) {
  const found = missing.length ? [text("map.missing_years", { years: missing.join(", "), year: state.year })] : [];
  if (layer?.key === "quicklook" && state.layer !== "quicklook") found.push(text("layer.quicklook.help"));
  if (layer && !year && layer.key === "change") found.push(text("map.no_change_pair"));
  else if (layer && !year) found.push(text("map.no_picture", { year: state.year }));
  const failed = new Set(done.filter(({ status }) => status === "rejected").map(({ reason }) => reason.message));
  return [...found.map((words) => element("p", { class: "note" }, words)), ...[...failed].map(problem)];
}

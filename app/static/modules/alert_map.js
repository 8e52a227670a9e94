/**
 * The small map of alerts: a circle for each, the outline of the one selected on its site's picture.
 */

import { ruleText } from "./alert_words.js";
import { siteUrl } from "./api.js";
import { element } from "./dom.js";
import { addGraticule, createMap, escaped, withoutTabStop } from "./map_base.js";
import { text } from "./texts.js";

const RADIUS = 7;
const CLOSEST = 15;

/**
 * A map of alerts, for a pointer. The list beside it offers the same to a keyboard.
 *
 * @param {Object} context The view's.
 * @param {function(string): void} onChoose Called with the id of an alert that was clicked.
 * @returns {{node: HTMLElement, start: function(): void, show: function(Array<Object>, string): void, remove: function(): void}}
 *   `start` is called once the node is in the page.
 */
export function alertMap(context, onChoose) {
  const node = element("div", { class: "alert-map" });
  let map, circles, chosen;
  let placed = "";

  function start() {
    map = createMap(node, text("alerts.map"), context.portfolio.features.basemap);
    map.setView([50, 10], 4);
    addGraticule(map);
    sites().addTo(map);
    chosen = L.layerGroup().addTo(map);
    circles = L.layerGroup().addTo(map);
  }

  /** Where there is no basemap, the sites' frames and names tell where one is. */
  function sites() {
    const group = L.layerGroup();
    for (const site of context.portfolio.sites) {
      if (!site.bounds) continue;
      L.rectangle(corners(site.bounds), { className: "alert-frame", interactive: false })
        .bindTooltip(element("span", {}, site.name), { permanent: true, direction: "top", className: "alert-label" })
        .addTo(group);
    }
    return group;
  }

  function show(alerts, selected) {
    circles.clearLayers();
    chosen.clearLayers();
    const found = alerts.filter((alert) => alert.longitude !== null && alert.longitude !== undefined);
    for (const alert of found) circle(alert, alert.id === selected).addTo(circles);
    const alert = alerts.find((one) => one.id === selected);
    if (alert) placeOn(alert);
    else if (placed !== "all") fit(found);
  }

  function circle(alert, isSelected) {
    const tip = `${ruleText(alert.rule)}: ${alert.site}, ${alert.last_year}`;
    const marker = L.circleMarker([alert.latitude, alert.longitude], {
      radius: isSelected ? RADIUS + 3 : RADIUS,
      className: `alert-circle status-${alert.status}${isSelected ? " is-selected" : ""}`,
    });
    return withoutTabStop(marker)
      .bindTooltip(element("span", {}, tip))
      .on("click", () => onChoose(alert.id));
  }

  async function placeOn(alert) {
    if (alert.longitude !== null && placed !== alert.id) {
      map.setView([alert.latitude, alert.longitude], CLOSEST, { animate: false });
    }
    placed = alert.id;
    if (!alert.site_id) return;
    const site = await context.api.siteFacts(alert.site_id).catch(() => null);
    if (!site || placed !== alert.id) return; // Another one was selected meanwhile.
    const layer = pictureLayer(site, alert.last_year);
    if (layer) {
      const address = siteUrl(site.id, "pictures", layer.key, `${alert.last_year}.${layer.format}`);
      L.imageOverlay(address, corners(layer.bounds), { alt: "" }).addTo(chosen);
    }
    if (alert.longitude === null && site.bounds) map.fitBounds(corners(site.bounds), { animate: false });
    if (alert.geometry) L.geoJSON(alert.geometry, { className: "alert-outline", interactive: false }).addTo(chosen);
    if (site.attribution) map.attributionControl.addAttribution(escaped(site.attribution));
    if (site.vectors?.permits) {
      const permits = await context.api.getOnce(siteUrl(site.id, "vectors", "permits", "all.geojson")).catch(() => null);
      if (permits && placed === alert.id) {
        L.geoJSON(permits, { className: "alert-permit", interactive: false }).addTo(chosen);
      }
    }
  }

  function fit(alerts) {
    placed = "all";
    const bounds = L.latLngBounds(alerts.map((alert) => [alert.latitude, alert.longitude]));
    for (const site of context.portfolio.sites) if (site.bounds) bounds.extend(corners(site.bounds));
    if (bounds.isValid()) map.fitBounds(bounds, { padding: [30, 30], maxZoom: CLOSEST - 1, animate: false });
  }

  return { node, start, show, remove: () => map?.remove() };
}

/** A site's layer in natural colour that has one picture of a year; null without. */
export function pictureLayer(site, year) {
  const fits = (layer) => layer.picture && layer.years.includes(year);
  const named = (key) => site.layers.find((layer) => layer.key === key && fits(layer));
  return named("natural") ?? named("quicklook") ?? null;
}

function corners([west, south, east, north]) {
  return [
    [south, west],
    [north, east],
  ];
}

/**
 * Names and legends of a site's layers.
 */

import { element } from "./dom.js";
import { known, number } from "./format.js";
import { STYLES, componentColours } from "./site_vectors.js";
import { hasText, kindName, text } from "./texts.js";

/** The name of a layer in the visitor's language; its key where there is no text. */
export function layerName(key) {
  if (key.startsWith("components_")) return text("layer.components", { group: kindName(key.slice("components_".length)) });
  return hasText(`layer.${key}`) ? text(`layer.${key}`) : key.toUpperCase();
}

/** The name of an index. */
export function indexName(key) {
  return hasText(`index.${key}`) ? text(`index.${key}`) : key.toUpperCase();
}

/**
 * Legends of the layer and of overlays with several colours.
 *
 * @param {Object} site The answer of /api/sites/{id}.
 * @param {Object} state See site_state.js.
 * @returns {HTMLElement[]}
 */
export function legendOf(site, state) {
  const layer = site.layers.find(({ key }) => key === state.layer);
  const found = [];
  if (layer?.kind === "index") found.push(ramp(layer));
  if (layer?.kind === "class" && layer.legend) found.push(classes(layerName(layer.key), layer.legend.map((entry) => [entry.colour, kindName(entry.label ?? entry.value)])));
  if (layer?.kind === "image" && hasText(`layer.${layer.key}.help`)) found.push(element("p", { class: "quiet small" }, text(`layer.${layer.key}.help`)));
  if (state.show.includes("changes")) found.push(classes(text("overlay.changes"), ["gain", "loss", "undirected"].map((kind) => [STYLES[kind].fillColor, kindName(kind)])));
  for (const name of state.show.filter((each) => each.startsWith("components_") && each !== state.layer)) {
    const colours = Object.entries(componentColours(site, name.slice("components_".length)));
    if (colours.length) found.push(classes(layerName(name), colours.map(([label, colour]) => [colour, kindName(label)])));
  }
  return found;
}

function classes(title, entries) {
  return element(
    "div",
    { class: "legend" },
    element("span", { class: "legend-title" }, title),
    element("ul", {}, entries.map(([colour, label]) => element("li", {}, box(colour), label))),
  );
}

function box(colour) {
  const mark = element("span", { class: "box", "aria-hidden": "true" });
  mark.style.backgroundColor = colour;
  return mark;
}

function ramp({ key, legend, range }) {
  const bar = element("span", { class: "ramp", "aria-hidden": "true" });
  const ends = range ?? [legend?.[0]?.value, legend?.at(-1)?.value];
  const place = (value) => Math.round((100 * (value - ends[0])) / (ends[1] - ends[0]));
  const stops = (legend ?? []).map(({ colour, value }) => `${colour} ${place(value)}%`);
  if (stops.length > 1) bar.style.backgroundImage = `linear-gradient(to right, ${stops.join(", ")})`;
  const end = (value) => (known(value) ? number(value, Number.isInteger(value) ? 0 : 2) : "");
  return element(
    "div",
    { class: "legend" },
    element("span", { class: "legend-title" }, layerName(key)),
    element("span", { class: "ramp-frame" }, end(ends[0]), bar, end(ends[1])),
    hasText(`index.${key}.help`) ? element("span", { class: "quiet small" }, text(`index.${key}.help`)) : null,
  );
}

/**
 * Vectors on a site's map: footprints of one year or two, components, changes, permits, reclaimed ground.
 */

import { getOnce, siteUrl } from "./api.js";
import { element } from "./dom.js";
import { hectares } from "./format.js";
import { withoutTabStop } from "./map_base.js";
import { pairOf } from "./site_state.js";
import { kindName, text } from "./texts.js";

/** Styles of outlines over a picture, the same in light and dark; `useColours` adds their colours. */
export const STYLES = {
  footprints: { weight: 2, fillOpacity: 0.14 },
  footprints_before: { weight: 2, dashArray: "6 4", fillOpacity: 0.08 },
  permits: { weight: 2.5, dashArray: "12 5", fill: false },
  outside_permits: { weight: 2.5, dashArray: "2 3", fillOpacity: 0.4 },
  reclamation: { weight: 2, dashArray: "8 3 2 3", fillOpacity: 0.2 },
  gain: { color: "#ffc08a", weight: 1.5, fillOpacity: 0.6 },
  loss: { color: "#a9cbff", weight: 1.5, dashArray: "5 3", fillOpacity: 0.6 },
  undirected: { color: "#d9c6f2", weight: 1.5, dashArray: "2 3", fillOpacity: 0.6 },
};
export const COMPONENT_COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999"];
const MANY = 1500;

/**
 * Draw outlines in the colours of the server's maps and reports; areas of change keep their paler edges.
 *
 * @param {Object<string, string>} colours By style, from /api/portfolio.
 */
export function useColours(colours) {
  for (const [name, colour] of Object.entries(colours)) {
    const style = STYLES[name];
    if (style) Object.assign(style, ["gain", "loss", "undirected"].includes(name) ? { fillColor: colour } : { color: colour });
  }
}

/**
 * The overlays that a site has.
 *
 * @param {Object} site The answer of /api/sites/{id}.
 * @returns {Array<{name: string, label: string, style: string}>} In the order in which they are listed.
 */
export function overlaysOf({ vectors }) {
  const found = [];
  if (vectors.footprints.length) found.push({ name: "footprints", label: text("overlay.footprints"), style: "footprints" });
  for (const group of Object.keys(vectors.components ?? {})) {
    found.push({ name: `components_${group}`, label: text("overlay.components", { group: kindName(group) }), style: "components" });
  }
  if (vectors.changes.length) found.push({ name: "changes", label: text("overlay.changes"), style: "gain" });
  if (vectors.permits) found.push({ name: "permits", label: text("overlay.permits"), style: "permits" });
  if (vectors.outside_permits.length) found.push({ name: "outside_permits", label: text("overlay.outside_permits"), style: "outside_permits" });
  if (vectors.reclamation) found.push({ name: "reclamation", label: text("overlay.reclamation"), style: "reclamation" });
  return found;
}

/**
 * The outlines that a state asks for.
 *
 * @returns {Array<{slot: string, pane: string, path: string[], style: function(Object): Object}>} `slot` names the
 *   place that one collection takes.
 */
export function wantedVectors(site, state) {
  const { vectors } = site;
  const shown = new Set(state.show);
  const wanted = [];
  const add = (slot, pane, path, style) => wanted.push({ slot, pane, path, style: typeof style === "string" ? () => STYLES[style] : style });
  const comparing = state.mode !== "off" && state.compare !== null;
  if (shown.has("footprints")) {
    if (vectors.footprints.includes(state.year)) add("footprints", "vectors-now", ["footprints", state.year], "footprints");
    if (comparing && vectors.footprints.includes(state.compare)) {
      add("footprints-before", "vectors-before", ["footprints", state.compare], "footprints_before");
    }
  }
  for (const [group, years] of Object.entries(vectors.components ?? {})) {
    if (!shown.has(`components_${group}`)) continue;
    const style = componentStyle(site, group);
    if (years.includes(state.year)) add(`components-${group}`, "vectors-now", ["components", group, state.year], style);
    if (comparing && years.includes(state.compare)) add(`components-${group}-before`, "vectors-before", ["components", group, state.compare], style);
  }
  if (shown.has("outside_permits") && vectors.outside_permits.includes(state.year)) {
    add("outside", "vectors-now", ["outside_permits", state.year], "outside_permits");
  }
  const pair = pairOf(state);
  if (shown.has("changes") && pair && vectors.changes.some(([one, other]) => one === pair[0] && other === pair[1])) {
    add("changes", "vectors-changes", ["changes", pair.join("-")], (feature) => STYLES[feature.properties.kind] ?? STYLES.undirected);
  }
  if (shown.has("permits") && vectors.permits) add("permits", "vectors-fixed", ["permits", "all"], "permits");
  if (shown.has("reclamation") && vectors.reclamation) add("reclamation", "vectors-fixed", ["reclamation", "all"], reclamationStyle(site));
  return wanted;
}

/** The names of a group's components with their colours, from the group's layer where it has one. */
export function componentColours(site, group) {
  const legend = site.layers.find(({ key }) => key === `components_${group}`)?.legend;
  return Object.fromEntries((legend ?? []).map(({ label, colour }) => [String(label).replaceAll(" ", "_"), colour]));
}

function componentStyle(site, group) {
  const colours = componentColours(site, group);
  const seen = [];
  return ({ properties }) => {
    const name = nameOf(properties);
    if (!seen.includes(name)) seen.push(name);
    const color = colours[name] ?? COMPONENT_COLOURS[seen.indexOf(name) % COMPONENT_COLOURS.length];
    return { color, weight: 2, fillOpacity: 0.35 };
  };
}

function reclamationStyle(site) {
  const legend = site.layers.find(({ key }) => key === "reclamation")?.legend ?? [];
  const colours = Object.fromEntries(legend.map(({ label, colour }) => [String(label).toLowerCase(), colour]));
  return ({ properties }) => {
    const colour = colours[recoveryOf(properties)];
    return colour ? { ...STYLES.reclamation, color: colour } : STYLES.reclamation;
  };
}

/** The state of most of a polygon's ground. */
function recoveryOf(properties) {
  const states = ["recovered", "recovering", "stalled", "undecided"].filter((state) => properties[`${state}_ha`] > 0);
  return states.sort((one, other) => properties[`${other}_ha`] - properties[`${one}_ha`])[0];
}

function nameOf(properties) {
  return properties.component ?? properties.kind ?? recoveryOf(properties) ?? "";
}

/** The vectors of a map; each place holds one collection, which changes when it is ready. */
export class VectorPanes {
  /**
   * @param {L.Map} map Its panes exist.
   * @param {Object} site The answer of /api/sites/{id}.
   */
  constructor(map, site) {
    this.map = map;
    this.site = site;
    this.slots = new Map();
  }

  /**
   * Show the outlines of a state.
   *
   * @throws {ApiError} Vectors cannot be loaded; the others are shown.
   */
  async show(state) {
    const wanted = wantedVectors(this.site, state);
    const names = new Set(wanted.map(({ slot }) => slot));
    for (const [slot, held] of this.slots) {
      if (names.has(slot)) continue;
      held.layer?.remove();
      this.slots.delete(slot);
    }
    const done = await Promise.allSettled(wanted.map((one) => this.#fill(one)));
    const failed = done.find(({ status }) => status === "rejected");
    if (failed) throw failed.reason;
  }

  async #fill({ slot, pane, path, style }) {
    const url = `${siteUrl(this.site.id, "vectors", ...path)}.geojson`;
    const held = this.slots.get(slot) ?? { url: null, layer: null };
    if (held.url === url) return;
    held.url = url;
    this.slots.set(slot, held);
    try {
      const collection = await getOnce(url);
      if (held.url !== url || this.slots.get(slot) !== held) return;
      held.layer?.remove();
      held.layer = drawn(collection, pane, style).addTo(this.map);
    } catch (error) {
      if (held.url === url) held.url = null;
      throw error;
    }
  }
}

function drawn(collection, pane, style) {
  const many = collection.features.length > MANY;
  return L.geoJSON(collection, {
    pane,
    style,
    renderer: many ? L.canvas({ pane }) : undefined,
    onEachFeature: (feature, layer) => withoutTabStop(layer).bindTooltip(() => tip(feature), { sticky: true, className: "tip" }),
  });
}

function tip({ properties }) {
  const kind = nameOf(properties);
  return element("span", {}, [properties.name ?? properties.permit, kindName(kind), hectares(properties.area_ha)].filter(Boolean).join(", "));
}

/**
 * The state of a site's view: one object, from the address and back to it, with listeners.
 */

const MODES = ["off", "swipe", "opacity"];
const LONGEST_AREA = 60;

/**
 * The state that the address asks for, with defaults for the rest.
 *
 * @param {Object<string, string>} parameters From the address; see `parametersOf`.
 * @param {Object} site The answer of /api/sites/{id}.
 * @returns {Object} layer, year, compare (a year or null), mode, opacity and split (0 to 1), show (names of overlays),
 *   at ([latitude, longitude, zoom] or null), point ([longitude, latitude] or null), area (corners or null), panel, index (the one of its panel, or null).
 */
export function stateFrom(parameters, site) {
  const years = site.years;
  const year = yearIn(parameters.year, years) ?? years.at(-1) ?? null;
  const compare = yearIn(parameters.compare, years);
  const layer = site.layers.some(({ key }) => key === parameters.layer) || parameters.layer === "none" ? parameters.layer : firstLayer(site);
  return {
    layer,
    year,
    compare,
    mode: compare !== null && MODES.includes(parameters.mode) ? parameters.mode : "off",
    opacity: share(parameters.opacity, 0.5),
    split: share(parameters.split, 0.5),
    show: parameters.show === undefined ? ["footprints"] : parameters.show.split(",").filter((name) => name && name !== "none"),
    at: numbers(parameters.at, 3),
    point: numbers(parameters.point, 2),
    area: corners(parameters.area),
    panel: parameters.panel ?? "areas",
    index: parameters.index ?? null,
  };
}

/** The years that an address asks for and the site has not. */
export function missingYears(parameters, { years }) {
  const asked = [parameters.year, parameters.compare].filter(Boolean);
  return [...new Set(asked)].filter((value) => yearIn(value, years) === null);
}

function firstLayer({ layers }) {
  return (layers.find(({ kind }) => kind === "image") ?? layers[0])?.key ?? "none";
}

function yearIn(value, years) {
  const year = Number(value);
  return years.includes(year) ? year : null;
}

function share(value, otherwise) {
  const found = Number.parseFloat(value);
  return found >= 0 && found <= 1 ? found : otherwise;
}

function numbers(value, count) {
  const found = (value ?? "").split(",").map(Number.parseFloat);
  return found.length === count && found.every(Number.isFinite) ? found : null;
}

function corners(value) {
  const found = (value ?? "").split(",").map(Number.parseFloat);
  if (found.length < 6 || found.length % 2 || !found.every(Number.isFinite)) return null;
  return Array.from({ length: found.length / 2 }, (_, index) => [found[2 * index], found[2 * index + 1]]);
}

/** The parameters of the address for a state: the reverse of `stateFrom`. */
export function parametersOf(state) {
  const { layer, year, compare, mode, opacity, split, show, at, point, area, panel, index } = state;
  return {
    layer,
    year,
    compare,
    mode: mode === "off" ? null : mode,
    opacity: mode === "opacity" ? opacity.toFixed(2) : null,
    split: mode === "swipe" ? split.toFixed(2) : null,
    show: show.length ? show.join(",") : "none",
    at: at ? `${at[0].toFixed(5)},${at[1].toFixed(5)},${at[2]}` : null,
    point: point ? point.map((value) => value.toFixed(5)).join(",") : null,
    // The outline of an uploaded area may be long: links stay below the length that mail and chat programs keep.
    area: area && area.length <= LONGEST_AREA ? area.flat().map((value) => value.toFixed(5)).join(",") : null,
    panel: panel === "areas" ? null : panel,
    index: panel === "indices" ? index : null,
  };
}

/**
 * A state with listeners.
 *
 * @param {Object} state
 * @returns {{state: Object, set: function(Object): void, listen: function(function(Object, Set<string>): void): void}}
 *   `set` takes changes and calls each listener with the state and the names of the fields that changed.
 */
export function createStore(state) {
  const listeners = [];
  const set = (changes) => {
    const changed = new Set(Object.keys(changes).filter((name) => changes[name] !== state[name]));
    if (!changed.size) return;
    Object.assign(state, changes);
    for (const listener of listeners) listener(state, changed);
  };
  return { state, set, listen: (listener) => listeners.push(listener) };
}

/** The pair of years to compare, earlier one first; null without a second year. */
export function pairOf({ year, compare }) {
  if (compare === null || compare === year) return null;
  return [Math.min(year, compare), Math.max(year, compare)];
}

/**
 * The controls below a site's map: year slider and play, layer and legend, overlays, comparison.
 */

import { announce, button, checkbox, element, fill, reducedMotion, select } from "./dom.js";
import { hectares } from "./format.js";
import { icon } from "./icons.js";
import { layerName, legendOf } from "./legends.js";
import { preload } from "./site_pictures.js";
import { overlaysOf, STYLES } from "./site_vectors.js";
import { text } from "./texts.js";

const STEP = 1100;
const CALM_STEP = 2200;

/**
 * The controls.
 *
 * @param {Object} site The answer of /api/sites/{id}.
 * @param {Object} store See site_state.js.
 * @returns {{node: HTMLElement, remove: function(): void}}
 */
export function siteControls(site, store) {
  const years = yearControls(site, store);
  const choices = element("div", { class: "control-row" });
  const overlays = element("div", { class: "control-row overlays", role: "group", "aria-label": text("control.overlays") });
  const legend = element("div", { class: "control-row legends" });
  const redraw = (state) => {
    fill(legend, legendOf(site, state));
    keepFocus(choices, () => fill(choices, layerSelect(site, store), comparison(site, store)));
    keepFocus(overlays, () => fill(overlays, overlayChecks(site, store)));
  };
  redraw(store.state);
  store.listen((state, changed) => {
    if (["layer", "compare", "mode", "show"].some((name) => changed.has(name))) redraw(state);
  });
  const node = element("div", { class: "site-controls" }, years.node, choices, overlays, legend);
  return { node, remove: years.stop };
}

/** Redraw controls, and give the focus back to the one that had it. */
function keepFocus(holder, draw) {
  const name = holder.contains(document.activeElement) ? document.activeElement.dataset.name : null;
  draw();
  if (name) holder.querySelector(`[data-name="${CSS.escape(name)}"]`)?.focus();
}

function yearControls(site, store) {
  const { years } = site;
  const player = { timer: null, direction: 1, last: store.state.year };
  const slider = element("input", {
    type: "range",
    min: 0,
    max: Math.max(years.length - 1, 0),
    step: 1,
    id: "year-slider",
    disabled: years.length < 2,
    on: {
      input: () => {
        stop();
        store.set({ year: years[Number(slider.value)] });
      },
      pointerenter: () => ahead(store.state),
      focus: () => ahead(store.state),
    },
  });
  const shown = element("output", { for: "year-slider", class: "year" });
  const play = button("", () => (player.timer ? stop() : start()), { class: "play", disabled: years.length < 2 });
  const ticks = element("div", { class: "ticks", "aria-hidden": "true" }, years.map((year) => element("span", {}, tick(year, years))));

  function mark(state) {
    slider.value = String(years.indexOf(state.year));
    const area = site.areas.find(({ year }) => year === state.year)?.area_ha;
    slider.setAttribute("aria-valuetext", area === undefined ? state.year : text("control.year_value", { year: state.year, area: hectares(area) }));
    shown.textContent = state.year ?? "";
  }

  /** Load the next picture in the direction of travel; at an end, the one to turn back to. */
  function ahead(state) {
    const at = years.indexOf(state.year);
    const next = years[at + player.direction] ?? years[at - player.direction];
    if (next !== undefined) preload(site, state.layer, next, state.compare);
  }

  function start() {
    const pace = reducedMotion() ? CALM_STEP : STEP;
    if (store.state.year === years.at(-1)) store.set({ year: years[0] });
    player.timer = window.setTimeout(step, pace, pace);
    drawPlay();
    announce(text("control.playing"));
  }

  async function step(pace) {
    const timer = player.timer;
    const next = years[years.indexOf(store.state.year) + 1];
    await preload(site, store.state.layer, next, store.state.compare);
    if (player.timer !== timer) return;
    store.set({ year: next });
    if (next === years.at(-1)) stop();
    else player.timer = window.setTimeout(step, pace, pace);
  }

  function stop() {
    window.clearTimeout(player.timer);
    player.timer = null;
    drawPlay();
  }

  function drawPlay() {
    const words = text(player.timer ? "control.stop" : "control.play");
    fill(play, icon(player.timer ? "pause" : "play"));
    play.setAttribute("aria-label", words);
    play.title = words;
  }

  drawPlay();
  mark(store.state);
  store.listen((state, changed) => {
    if (!changed.has("year")) return;
    mark(state);
    player.direction = state.year < player.last ? -1 : 1;
    player.last = state.year;
    ahead(state);
  });
  const label = element("label", { for: "year-slider" }, text("control.year"));
  const node = element("div", { class: "control-row years" }, play, label, shown, element("div", { class: "slider" }, slider, ticks));
  return { node, stop };
}

function tick(year, years) {
  const short = `’${String(year).slice(2)}`;
  return element("span", { class: years.length > 12 && years.indexOf(year) % 2 ? "minor" : null }, short);
}

function layerSelect(site, store) {
  const box = element("select", { "data-name": "layer", on: { change: () => choose(box.value) } });
  for (const kind of ["image", "index", "class"]) {
    const layers = site.layers.filter((layer) => layer.kind === kind);
    if (!layers.length) continue;
    const options = layers.map((layer) => element("option", { value: layer.key, selected: layer.key === store.state.layer }, layerName(layer.key)));
    box.append(element("optgroup", { label: text(`control.kind.${kind}`) }, options));
  }
  box.append(element("option", { value: "none", selected: store.state.layer === "none" }, text("layer.none")));
  function choose(layer) {
    const needsPair = layer === "change" && store.state.compare === null;
    store.set(needsPair ? { layer, compare: otherYear(site, store.state) } : { layer });
  }
  return element("label", { class: "field" }, element("span", {}, text("control.layer")), box);
}

/** The first year, or the last one where the first is shown. */
function otherYear({ years }, { year }) {
  return year === years[0] ? years.at(-1) : years[0];
}

function overlayChecks(site, store) {
  const { show } = store.state;
  return overlaysOf(site).map(({ name, label, style }) => {
    const toggle = (on) => {
      const next = on ? [...show, name] : show.filter((other) => other !== name);
      const needsPair = on && name === "changes" && store.state.compare === null;
      store.set(needsPair ? { show: next, compare: otherYear(site, store.state) } : { show: next });
    };
    const check = checkbox(label, show.includes(name), toggle, { "data-name": name });
    check.append(swatch(style));
    return check;
  });
}

/** A short line as the overlay is drawn. */
function swatch(style) {
  const look = STYLES[style];
  const mark = element("span", { class: `swatch swatch-${style}`, "aria-hidden": "true" });
  if (look) mark.style.borderTopColor = look.color;
  return mark;
}

function comparison(site, store) {
  const { compare, mode, opacity, year } = store.state;
  if (site.years.length < 2) return null;
  const options = [["", text("control.compare_off")], ...site.years.map((one) => [String(one), String(one)])];
  const choose = (value) => {
    const next = value ? Number(value) : null;
    store.set({ compare: next, mode: next === null ? "off" : mode === "off" ? "swipe" : mode });
  };
  const modes = ["swipe", "opacity", "off"].map((name) =>
    button(text(`control.mode.${name}`), () => store.set({ mode: name }), { "aria-pressed": String(mode === name), "data-name": `mode-${name}` }),
  );
  const blend = element("input", { type: "range", min: 0, max: 100, value: Math.round(opacity * 100), "data-name": "opacity" });
  blend.addEventListener("input", () => store.set({ opacity: Number(blend.value) / 100 }));
  return [
    select(text("control.compare"), options, compare === null ? "" : String(compare), choose, { "data-name": "compare" }),
    compare === null ? null : element("span", { class: "segments", role: "group", "aria-label": text("control.modes") }, modes),
    compare !== null && mode === "opacity"
      ? element("label", { class: "field" }, element("span", {}, text("control.opacity", { year: compare })), blend, String(year))
      : null,
  ];
}

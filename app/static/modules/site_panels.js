/**
 * The panels beside a site's map: the figures of the year, and one panel at a time below a list of tabs.
 */

import { moduleOf } from "./api.js";
import { button, element, fill, problem } from "./dom.js";
import { hectares, interval, known, signedHectares } from "./format.js";
import { areasPanel, changesPanel } from "./panel_areas.js";
import { factsPanel } from "./panel_facts.js";
import { componentsPanel, indicesPanel, landPanel, permitsPanel, reclamationPanel, waterPanel } from "./panel_impact.js";
import { text } from "./texts.js";

/**
 * Head, tabs and panels.
 *
 * A panel is a function of `(site, store, context)` that gives nodes; charts in it mark the year of the map. Downloads
 * are a view of their own (downloads.js), shown in a tab: its `context.site` is the answer of /api/sites/{id}, and
 * `context.store` the state of the map (site_state.js).
 *
 * @param {Object} site The answer of /api/sites/{id}.
 * @param {Object} store See site_state.js.
 * @param {Object} context See main.js.
 * @param {{point: HTMLElement}} nodes Panels that others fill.
 * @returns {Node[]}
 */
export function sitePanels(site, store, context, nodes) {
  const panels = available(site, nodes);
  const body = element("div", { class: "panel-body", role: "tabpanel", id: "panel", tabindex: "0" });
  const tabs = panels.map(({ name }) =>
    button(text(`panel.${name}`), () => store.set({ panel: name }), { role: "tab", id: `tab-${name}`, "aria-controls": "panel" }),
  );
  const list = element("div", { class: "tabs no-print", role: "tablist", "aria-label": text("panel.tabs"), on: { keydown: walk } }, tabs);
  const head = element("div", { class: "site-head" });
  let drawn = null;

  function walk(event) {
    const at = tabs.indexOf(document.activeElement);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    const next = (to + tabs.length) % tabs.length;
    tabs[next].focus();
    store.set({ panel: panels[next].name });
  }

  function draw({ panel }) {
    const index = Math.max(0, panels.findIndex(({ name }) => name === panel));
    tabs.forEach((tab, other) => {
      tab.setAttribute("aria-selected", String(other === index));
      tab.tabIndex = other === index ? 0 : -1;
    });
    body.setAttribute("aria-labelledby", tabs[index].id);
    if (drawn !== panels[index].name) {
      drawn = panels[index].name;
      fill(body, panels[index].show(site, store, context));
    }
  }

  fill(head, headOf(site, store.state));
  draw(store.state);
  store.listen((state, changed) => {
    if (changed.has("year")) {
      fill(head, headOf(site, state));
      for (const chart of body.querySelectorAll(".chart")) chart.mark?.(state.year);
    }
    if (changed.has("panel")) draw(state);
    else if (drawn === "changes" && (changed.has("year") || changed.has("compare"))) fill(body, changesPanel(site, store, context));
  });
  return [head, list, body];
}

function available(site, nodes) {
  const has = (name) => site[name]?.length > 0;
  return [
    { name: "areas", when: true, show: areasPanel },
    { name: "changes", when: has("changes"), show: changesPanel },
    { name: "permits", when: has("permits"), show: permitsPanel },
    { name: "point", when: true, show: () => nodes.point },
    { name: "components", when: has("components"), show: componentsPanel },
    { name: "indices", when: has("indices"), show: indicesPanel },
    { name: "water", when: has("water"), show: waterPanel },
    { name: "reclamation", when: has("reclamation"), show: reclamationPanel },
    { name: "land", when: has("land_cover"), show: landPanel },
    { name: "facts", when: true, show: factsPanel },
    { name: "downloads", when: true, show: downloadsPanel },
  ].filter(({ when }) => when);
}

/** Downloads are fetched when their tab is opened. */
function downloadsPanel(site, store, context) {
  const root = element("div", { class: "downloads-panel", "aria-busy": "true" });
  moduleOf(import("./downloads.js"))
    .then((view) => view.show(root, { id: site.id }, { ...context, site, store }))
    .catch((error) => {
      console.error(error);
      fill(root, problem(error.message));
    })
    .finally(() => root.removeAttribute("aria-busy"));
  return root;
}

function headOf(site, { year }) {
  const row = site.areas.find((one) => one.year === year);
  const before = site.areas.filter((one) => one.year < year).at(-1);
  const outside = site.permits?.find((one) => one.year === year && one.kind === "mined")?.area_ha;
  const figures = [
    row ? figure(text("figure.mapped", { year }), hectares(row.area_ha)) : null,
    row && known(row.adjusted_ha) ? figure(text("figure.adjusted"), hectares(row.adjusted_ha), interval(row.low_ha, row.high_ha)) : null,
    row && before ? figure(text("figure.since", { year: before.year }), `${signedHectares(row.area_ha - before.area_ha)} ha`) : null,
    known(outside) ? figure(text("figure.outside"), hectares(outside)) : null,
  ];
  return [
    element(
      "div",
      { class: "site-title" },
      element("h1", {}, site.name),
      site.simulated ? element("span", { class: "tag" }, text("site.simulated")) : null,
      site.open_alerts
        ? element("a", { class: "tag warn", href: `#/alerts?site=${encodeURIComponent(site.id)}` }, text("site.open_alerts", { count: site.open_alerts }))
        : null,
    ),
    simulatedNote(site),
    row ? element("dl", { class: "figures" }, figures) : element("p", { class: "note" }, text("figure.no_year", { year })),
  ];
}

function simulatedNote({ simulated, facts }) {
  if (simulated) return element("p", { class: "quiet small" }, text("site.simulated_note"));
  if (!facts.models?.some((model) => model.simulated)) return null;
  return element("p", { class: "quiet small" }, text("site.simulated_model"));
}

function figure(name, value, detail = "") {
  return element(
    "div",
    {},
    element("dt", {}, name),
    element("dd", {}, value, detail ? element("span", { class: "interval" }, detail) : null),
  );
}

/**
 * Panels of permits, components, indices, water, reclamation, and the land that mining took.
 */

import { barChart, lineChart } from "./charts.js";
import { button, element, fill, select } from "./dom.js";
import { hectares, known, number, percent } from "./format.js";
import { indexName } from "./legends.js";
import { byYear, chartOf } from "./panel_areas.js";
import { dataTable } from "./tables.js";
import { hasText, kindName, text } from "./texts.js";

const ZONES = ["footprint", "surroundings", "scene"];
const STATES = [
  ["recovered", 3],
  ["recovering", 2],
  ["undecided", "undirected"],
  ["stalled", 1],
];

/** Hectares and places outside the outlines given. */
export function permitsPanel(site, store) {
  const of = (kind) => site.permits.filter((row) => row.kind === kind);
  const bars = of("new").length ? [{ name: text("permits.new"), style: 1, values: byYear(site, of("new"), (row) => row.area_ha) }] : [];
  return [
    lineChart(
      chartOf(site, store, {
        title: text("permits.title"),
        series: [{ name: text("permits.mined"), style: 4, values: byYear(site, of("mined"), (row) => row.area_ha) }],
        fromZero: true,
        format: (value) => number(value, 2),
      }),
    ),
    bars.length ? barChart(chartOf(site, store, { title: text("permits.new_title"), series: bars, format: (value) => number(value, 2) })) : null,
    element("p", { class: "note" }, text("permits.help")),
    overlayButton(store, ["permits", "outside_permits"], text("permits.show")),
  ];
}

/** Areas of a group's components. */
export function componentsPanel(site, store) {
  const groups = [...new Set(site.components.map((row) => row.group))];
  return groups.map((group) => {
    const rows = site.components.filter((row) => row.group === group);
    const names = [...new Set(rows.map((row) => row.component))];
    const series = names.map((name, index) => {
      const own = rows.filter((row) => row.component === name);
      return {
        name: kindName(name),
        style: (index % 6) + 1,
        values: byYear(site, own, (row) => row.adjusted_ha ?? row.area_ha),
        low: byYear(site, own, (row) => row.low_ha),
        high: byYear(site, own, (row) => row.high_ha),
      };
    });
    return [
      lineChart(chartOf(site, store, { title: text("components.title", { group: kindName(group) }), series, fromZero: true, format: (value) => number(value, 2) })),
      overlayButton(store, [`components_${group}`], text("components.show", { group: kindName(group) })),
    ];
  });
}

/** One index at a time, in the footprint and in its surroundings. */
export function indicesPanel(site, store) {
  const names = [...new Set(site.indices.map((row) => row.index))];
  const holder = element("div");
  const layers = new Set(site.layers.map(({ key }) => key));
  const wanted = [store.state.index, store.state.layer].find((name) => names.includes(name)) ?? names[0];
  const show = (index) => {
    const rows = site.indices.filter((row) => row.index === index);
    const zones = ZONES.filter((zone) => rows.some((row) => row.zone === zone));
    const series = zones.map((zone, at) => {
      const own = rows.filter((row) => row.zone === zone);
      const edge = (sign) => byYear(site, own, (row) => (known(row.mean) && known(row.spread) ? row.mean + sign * row.spread : null));
      return { name: text(`zone.${zone}`), style: at + 1, values: byYear(site, own, (row) => row.mean), low: edge(-1), high: edge(1) };
    });
    fill(
      holder,
      lineChart(chartOf(site, store, { title: indexName(index), series, format: (value) => number(value, 2) })),
      hasText(`index.${index}.help`) ? element("p", { class: "quiet small" }, text(`index.${index}.help`)) : null,
      element("p", { class: "quiet small" }, text("indices.help")),
      layers.has(index) ? button(text("indices.show"), () => store.set({ layer: index })) : null,
    );
  };
  const choose = (index) => {
    store.set({ index });
    show(index);
  };
  show(wanted);
  return [select(text("indices.index"), names.map((name) => [name, indexName(name)]), wanted, choose), holder];
}

/** Open water within the mine. */
export function waterPanel(site, store) {
  const values = byYear(site, site.water, (row) => row.water_ha);
  const last = site.water.at(-1);
  return [
    lineChart(
      chartOf(site, store, {
        title: text("water.title"),
        series: [{ name: text("water.area"), style: 2, values }],
        fromZero: true,
        format: (value) => number(value, 2),
      }),
    ),
    last ? element("p", { class: "quiet small" }, text("water.help", { mine: hectares(last.mine_ha) })) : null,
    site.layers.some(({ key }) => key === "water") ? button(text("water.show"), () => store.set({ layer: "water" })) : null,
  ];
}

/** Ground that was mined and is no more: recovered, recovering, stalled. */
export function reclamationPanel(site, store) {
  const rows = site.reclamation;
  const series = STATES.map(([state, style]) => ({ name: text(`kind.${state}`), style, values: byYear(site, rows, (row) => row[`${state}_ha`]) }));
  const last = rows.at(-1);
  const entry = (name, value) => [element("dt", {}, name), element("dd", {}, value)];
  return [
    barChart(chartOf(site, store, { title: text("reclamation.title"), series, format: (value) => number(value, 1) })),
    element("h2", {}, text("reclamation.latest", { year: last.year })),
    element(
      "dl",
      { class: "facts" },
      entry(text("reclamation.ground"), hectares(last.ground_ha)),
      entry(text("reclamation.mean_r80p"), number(last.r80p, 2)),
      entry("dNBR", number(last.dnbr, 2)),
      entry("YrYr", number(last.yearly_rate, 3)),
      entry("Y2R", known(last.y2r) ? text("reclamation.years", { years: number(last.y2r, 1) }) : text("reclamation.not_yet")),
      entry(text("reclamation.target"), hasText(`reclamation.target.${last.target}`) ? text(`reclamation.target.${last.target}`) : last.target),
    ),
    element("p", { class: "quiet small" }, text("reclamation.help")),
    lineChart(
      chartOf(site, store, {
        title: text("reclamation.r80p"),
        series: [{ name: text("reclamation.mean_r80p"), style: 3, values: byYear(site, rows, (row) => row.r80p) }],
        fromZero: true,
        format: (value) => number(value, 2),
      }),
    ),
    site.layers.some(({ key }) => key === "reclamation") ? button(text("reclamation.show"), () => store.set({ layer: "reclamation" })) : null,
  ];
}

/** The land cover that mining took, by class and by year first mined. */
export function landPanel(site, store) {
  const rows = site.land_cover;
  const totals = new Map();
  for (const row of rows) totals.set(row.land_cover, (totals.get(row.land_cover) ?? 0) + (row.area_ha ?? 0));
  const names = [...totals.keys()].sort((one, other) => totals.get(other) - totals.get(one));
  const all = [...totals.values()].reduce((sum, value) => sum + value, 0) || 1;
  // The first year stands for all ground mined until then: its bar would dwarf the others.
  const years = site.years.slice(1);
  const series = names.slice(0, 6).map((name, index) => ({
    name: kindName(name),
    style: index + 1,
    values: years.map((year) => rows.find((row) => row.land_cover === name && row.first_year === year)?.area_ha ?? 0),
  }));
  const columns = [{ label: text("land.class") }, { label: text("land.area"), number: true }, { label: text("land.share"), number: true }, { label: text("land.bar") }];
  return [
    element("h2", {}, text("land.title")),
    dataTable(text("land.title"), columns, names.map((name) => [kindName(name), number(totals.get(name), 1), percent(totals.get(name) / all), bar(totals.get(name) / all)]), { hideCaption: true }),
    years.length ? barChart({ ...chartOf(site, store, { title: text("land.by_year"), series, format: (value) => number(value, 2) }), years }) : null,
    element("p", { class: "quiet small" }, text("land.help", { year: rows[0].land_cover_year ?? "–", first: site.years[0] })),
  ];
}

function bar(share) {
  const mark = element("span", { class: "share", "aria-hidden": "true" });
  mark.style.width = `${Math.max(share * 100, 0.5)}%`;
  return mark;
}

function overlayButton(store, names, label) {
  return button(label, () => store.set({ show: [...new Set([...store.state.show, ...names])] }));
}

/**
 * Panels of the mined area, and of gains and losses.
 */

import { barChart, lineChart } from "./charts.js";
import { button, element } from "./dom.js";
import { hectares, interval, known, number, percent, signedHectares } from "./format.js";
import { pairOf } from "./site_state.js";
import { foldedTable } from "./tables.js";
import { countText, text } from "./texts.js";

/** The options that all charts over the years of a site share. */
export function chartOf(site, store, more) {
  return { years: site.years, year: store.state.year, onYear: (year) => store.set({ year }), ...more };
}

/** Values by the site's years from rows with a `year`. */
export function byYear(site, rows, value) {
  return site.years.map((year) => {
    const row = rows.find((one) => one.year === year);
    return row === undefined ? null : (value(row) ?? null);
  });
}

/** The mined area by year, mapped and adjusted, with its interval. */
export function areasPanel(site, store) {
  const { areas } = site;
  if (!areas.length) return element("p", { class: "note" }, text("areas.none"));
  const series = [{ name: text("areas.mapped"), values: byYear(site, areas, (row) => row.area_ha) }];
  const hasInterval = areas.some((row) => known(row.low_ha));
  const isAdjusted = areas.some((row) => known(row.adjusted_ha));
  if (isAdjusted) {
    series.push({
      name: text(hasInterval ? "areas.adjusted" : "areas.adjusted_only"),
      values: byYear(site, areas, (row) => row.adjusted_ha),
      low: byYear(site, areas, (row) => row.low_ha),
      high: byYear(site, areas, (row) => row.high_ha),
    });
  }
  const partial = areas.filter((row) => known(row.known_share) && row.known_share < 0.99);
  return [
    lineChart(chartOf(site, store, { title: text("areas.title"), series, fromZero: true, format: (value) => number(value, 1) })),
    known(site.trend_ha_per_year) ? element("p", {}, text("areas.trend", { trend: signedHectares(site.trend_ha_per_year) })) : null,
    element("p", { class: "quiet small" }, text(helpOf(hasInterval, isAdjusted))),
    partial.length ? element("p", { class: "note" }, text("areas.partial", { years: partial.map((row) => `${row.year} (${percent(row.known_share)})`).join(", ") })) : null,
    caveats(site, store),
  ];
}

function helpOf(hasInterval, isAdjusted) {
  if (hasInterval) return "areas.interval_help";
  return isAdjusted ? "areas.no_interval" : "areas.unknown_errors";
}

function caveats(site, store) {
  const sentences = site.facts.caveats ?? [];
  if (!sentences.length) return null;
  return element(
    "details",
    { class: "note" },
    element("summary", {}, countText("areas.caveats", sentences.length)),
    element("ul", {}, sentences.map((sentence) => element("li", {}, sentence))),
    button(text("areas.to_facts"), () => store.set({ panel: "facts" }), { class: "link-button" }),
  );
}

/** Gains and losses: of neighbouring years as bars, and of the pair of years chosen. */
export function changesPanel(site, store) {
  const yearly = site.changes.filter((row) => site.years.indexOf(row.year_2) === site.years.indexOf(row.year_1) + 1);
  const at = (value) => site.years.map((year) => value(yearly.find((row) => row.year_2 === year)) ?? null);
  const series = [
    { name: text("kind.gain"), style: "gain", values: at((row) => row?.gain_ha) },
    { name: text("kind.loss"), style: "loss", values: at((row) => (known(row?.loss_ha) ? -row.loss_ha : null)) },
  ];
  if (site.changes.some((row) => row.undirected_ha > 0)) {
    series.push({ name: text("kind.undirected"), style: "undirected", values: at((row) => row?.undirected_ha) });
  }
  const onMap = store.state.show.includes("changes");
  return [
    barChart(chartOf(site, store, { title: text("changes.title"), series, format: (value) => (known(value) ? signedHectares(value) : number(value)) })),
    element("p", { class: "quiet small" }, text("changes.help")),
    pairOfYears(site, store),
    onMap ? null : button(text("changes.show"), () => showChanges(site, store)),
    allPairs(site),
  ];
}

function showChanges(site, store) {
  const { state } = store;
  const compare = state.compare ?? site.years.filter((year) => year < state.year).at(-1) ?? site.years.at(-1);
  store.set({ compare, show: [...state.show.filter((name) => name !== "changes"), "changes"] });
}

function pairOfYears(site, store) {
  const pair = pairOf(store.state);
  if (!pair) return element("p", { class: "note" }, text("changes.choose"));
  const row = site.changes.find((one) => one.year_1 === pair[0] && one.year_2 === pair[1]);
  const title = element("h2", {}, text("changes.pair", { first: pair[0], second: pair[1] }));
  if (!row) return [title, element("p", { class: "note" }, text("changes.no_pair"))];
  const entry = (name, value, detail) => [element("dt", {}, name), element("dd", {}, value, detail ? ` (${detail})` : "")];
  return [
    title,
    element(
      "dl",
      { class: "facts" },
      entry(text("kind.gain"), hectares(row.gain_ha), adjusted(row.gain_adjusted_ha, row.gain_low_ha, row.gain_high_ha)),
      entry(text("kind.loss"), hectares(row.loss_ha), adjusted(row.loss_adjusted_ha, row.loss_low_ha, row.loss_high_ha)),
      row.undirected_ha > 0 ? entry(text("kind.undirected"), hectares(row.undirected_ha)) : null,
      entry(text("changes.known"), percent(row.known_share)),
    ),
  ];
}

function adjusted(value, low, high) {
  if (!known(value)) return "";
  return [text("changes.adjusted", { area: hectares(value) }), interval(low, high)].filter(Boolean).join("; ");
}

function allPairs(site) {
  const columns = [
    { label: text("changes.years") },
    { label: text("changes.gain_ha"), number: true },
    { label: text("changes.loss_ha"), number: true },
    { label: text("changes.known"), number: true },
  ];
  const rows = site.changes.map((row) => [
    `${row.year_1}–${row.year_2}`,
    number(row.gain_ha, 1),
    number(row.loss_ha, 1),
    percent(row.known_share),
  ]);
  return foldedTable(text("changes.all_pairs"), text("changes.all_pairs"), columns, rows);
}

/**
 * The panel of facts: the models and images behind a site's maps, settings, and reasons for care.
 */

import { element } from "./dom.js";
import { moment, number, percent } from "./format.js";
import { dataTable } from "./tables.js";
import { hasText, text } from "./texts.js";

/** Models, images, settings, caveats and versions. */
export function factsPanel(site) {
  const { facts } = site;
  return [
    section("facts.caveats", list(facts.caveats)),
    section("facts.models", (facts.models ?? []).map((model) => modelFacts(model))),
    section("facts.images", imagesTable(facts), notes(facts)),
    section("facts.grid", definitions([[text("facts.crs"), site.grid.crs], [text("facts.size"), size(site.grid)]])),
    section("facts.settings", definitions(Object.entries(facts.settings ?? {}).filter(([, value]) => plain(value)).map(([name, value]) => [name, String(value)]))),
    section("facts.made", definitions([[text("facts.created"), moment(facts.created)], ...Object.entries(facts.versions ?? {})])),
    element("p", { class: "quiet small" }, site.attribution),
  ];
}

function section(key, ...content) {
  const given = content.flat().filter(Boolean);
  return given.length ? [element("h2", {}, text(key)), given] : null;
}

function list(sentences) {
  return sentences?.length ? element("ul", { class: "small" }, sentences.map((sentence) => element("li", {}, sentence))) : null;
}

function definitions(entries) {
  const given = entries.filter(([, value]) => value !== null && value !== undefined && value !== "");
  if (!given.length) return null;
  return element("dl", { class: "facts" }, given.map(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

function plain(value) {
  return value !== null && value !== "" && typeof value !== "object";
}

function size({ width, height, pixel_m: pixel }) {
  return text("facts.pixels", { width: number(width, 0), height: number(height, 0), pixel: number(pixel, 1) });
}

function modelFacts(model) {
  const scores = Object.entries(model.scores ?? {}).map(([name, value]) => [scoreName(name), number(value, 3)]);
  const scored = [model.scored_split, model.scored_sites ? text("facts.sites", { count: model.scored_sites }) : ""].filter(Boolean).join(", ");
  return definitions([
    [text("facts.task"), hasText(`facts.task.${model.task}`) ? text(`facts.task.${model.task}`) : model.task],
    [text("facts.architecture"), model.architecture],
    [text("facts.digest"), element("code", {}, model.digest ?? "")],
    [text("facts.bands"), (model.bands ?? []).join(" ")],
    [text("facts.dataset"), model.simulated ? text("facts.simulated", { dataset: model.dataset ?? "" }) : model.dataset],
    ...scores,
    [text("facts.scored_on"), scores.length ? scored : ""],
  ]);
}

function scoreName(name) {
  return { of1: "OF1", of1_pooled: "OF1 (pooled)", gca_tiou: "gCA-TIoU", lca_tiou: "lCA-TIoU" }[name] ?? name;
}

function imagesTable({ scenes }) {
  if (!scenes?.length) return null;
  const columns = [{ label: text("chart.year") }, { label: text("facts.known"), number: true }, { label: text("facts.decisions") }];
  const rows = scenes.map((scene) => [
    String(scene.year),
    percent(scene.known_share),
    fileFacts(scene),
  ]);
  return dataTable(text("facts.images"), columns, rows, { hideCaption: true });
}

/** Name and level of an image, and how it was read, which the series keeps in English. */
function fileFacts({ name, level, found, decisions, resampled }) {
  const facts = [name, level, found === false ? text("facts.not_found") : ""].filter(Boolean).join(" · ");
  const reading = [...(decisions ?? []), resampled].filter(Boolean).join(" · ");
  return reading ? [facts, " · ", element("span", { lang: "en" }, reading)] : facts;
}

function notes({ missing_years: missing, cut }) {
  return [
    missing?.length ? element("p", { class: "note" }, text("facts.missing", { years: missing.join(", ") })) : null,
    cut ? element("p", { class: "note" }, String(cut)) : null,
  ];
}

/**
 * The panel of downloads: a printed map, a timelapse, and every file of a site by its kind.
 */

import { checkbox, element, fill, select } from "./dom.js";
import { bytes, number } from "./format.js";
import { layerName } from "./legends.js";
import { hasText, language, text } from "./texts.js";

const KINDS = ["table", "polygons", "map", "record"];
const FORMATS = { csv: "CSV", gpkg: "GeoPackage", parquet: "GeoParquet", tif: "GeoTIFF (COG)", json: "JSON" };
const WIDTHS = [1200, 2000, 3000];
const SECONDS = [0.5, 1, 2];

/**
 * Show the panel.
 *
 * @param {HTMLElement} root
 * @param {Object} parameters The site's `id`.
 * @param {Object} context The view's, with `site` (the answer of /api/sites/{id}) and `store` (site_state.js).
 */
export async function show(root, { id }, context) {
  const { siteUrl } = context.api;
  const site = context.site ?? (await context.api.siteFacts(id));
  const shown = context.store?.state ?? { show: ["footprints"] };
  fill(
    root,
    site.simulated ? element("p", { class: "note" }, text("downloads.simulated")) : null,
    site.layers.length ? [printedMap(site, shown, siteUrl), timelapse(site, shown, siteUrl)] : null,
    files(site),
    element("p", { class: "small quiet" }, site.attribution),
  );
}

/** A set of choices, and a link that follows them. */
function chooser(title, controls, label, address, name) {
  const link = element("a", { class: "button" }, label);
  const follow = () => {
    link.setAttribute("href", address());
    link.setAttribute("download", name());
  };
  follow();
  return { follow, node: element("fieldset", {}, element("legend", {}, title), element("div", { class: "choices" }, controls(follow), link)) };
}

function layerChoices(site) {
  return site.layers.map((layer) => [layer.key, layerName(layer.key)]);
}

function started(site, shown) {
  const layer = site.layers.find(({ key }) => key === shown.layer) ?? site.layers[0];
  return { layer: layer.key, footprints: shown.show.includes("footprints"), permits: shown.show.includes("permits") };
}

function printedMap(site, shown, siteUrl) {
  const chosen = { ...started(site, shown), compare: "", width: String(WIDTHS[1]) };
  chosen.year = String(shown.year ?? "");
  const years = element("span", { class: "choices" });

  const controls = (follow) => {
    const set = (name) => (value) => {
      chosen[name] = value;
      if (name === "layer") drawYears();
      follow();
    };
    function drawYears() {
      const found = site.layers.find(({ key }) => key === chosen.layer).years.map(String);
      if (!found.includes(chosen.year)) chosen.year = found.at(-1);
      if (!found.includes(chosen.compare)) chosen.compare = "";
      const options = found.map((year) => [year, yearText(year)]);
      fill(
        years,
        select(text("downloads.year"), options, chosen.year, set("year")),
        found.length > 1 ? select(text("downloads.compare"), [["", text("downloads.no_compare")], ...options], chosen.compare, set("compare")) : null,
      );
    }
    drawYears();
    return [
      select(text("downloads.layer"), layerChoices(site), chosen.layer, set("layer")),
      years,
      select(text("downloads.width"), WIDTHS.map((width) => [String(width), text("downloads.pixels", { width: number(width, 0) })]), chosen.width, set("width")),
      site.vectors.footprints.length ? checkbox(text("downloads.footprints"), chosen.footprints, set("footprints")) : null,
      site.vectors.permits ? checkbox(text("downloads.permits"), chosen.permits, set("permits")) : null,
    ];
  };
  const address = () => `${siteUrl(site.id, "map.png")}?${query(chosen)}`;
  const name = () => `${site.id}_${chosen.layer}_${chosen.year}.png`;
  return chooser(text("downloads.printed_map"), controls, text("downloads.get_png"), address, name).node;
}

function timelapse(site, shown, siteUrl) {
  const layers = site.layers.filter((layer) => layer.years.filter((year) => typeof year === "number").length > 1);
  if (layers.length === 0) return null;
  const begun = started(site, shown);
  const chosen = {
    layer: layers.some(({ key }) => key === begun.layer) ? begun.layer : layers[0].key,
    footprints: begun.footprints,
    seconds: String(SECONDS[1]),
  };
  let format = "gif";
  const controls = (follow) => {
    const set = (field) => (value) => {
      if (field === "format") format = value;
      else chosen[field] = value;
      follow();
    };
    return [
      select(text("downloads.layer"), layers.map(({ key }) => [key, layerName(key)]), chosen.layer, set("layer")),
      select(text("downloads.seconds"), SECONDS.map((seconds) => [String(seconds), text("downloads.second", { seconds: number(seconds, 1) })]), chosen.seconds, set("seconds")),
      select(text("downloads.format"), [["gif", "GIF"], ["webp", "WebP"]], format, set("format")),
      site.vectors.footprints.length ? checkbox(text("downloads.footprints"), chosen.footprints, set("footprints")) : null,
    ];
  };
  const address = () => `${siteUrl(site.id, `timelapse.${format}`)}?${query(chosen)}`;
  const name = () => `${site.id}_${chosen.layer}.${format}`;
  return chooser(text("downloads.timelapse"), controls, text("downloads.get_timelapse"), address, name).node;
}

function query(values) {
  const lang = language() === "en" ? "" : language();
  const given = Object.entries({ ...values, lang }).filter(([, value]) => value !== "");
  return new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
}

function yearText(year) {
  return year === "all" ? text("downloads.every_year") : year.replace("-", " – ");
}

/** Files by kind; those of one kind and format for many years share a row with a choice of the year. */
function files(site) {
  const kinds = [...new Set(site.downloads.map(({ kind }) => kind))].sort((a, b) => order(a) - order(b));
  return kinds.map((kind) => {
    const found = site.downloads.filter((file) => file.kind === kind);
    const rows = [...grouped(found)].map(([, group]) => fileRow(group));
    const title = text("downloads.kind_files", { kind: kindText(kind), size: bytes(found.reduce((sum, file) => sum + file.bytes, 0)) });
    return element("section", {}, element("h2", {}, title), fileTable(kindText(kind), rows));
  });
}

/** The layout is a grid, which takes the roles of a table away: they are given again. */
function fileTable(caption, rows) {
  const heads = ["content", "format", "year", "size", "get"].map((name) => element("th", { scope: "col", role: "columnheader" }, text(`downloads.${name}`)));
  return element(
    "table",
    { role: "table", "aria-label": caption },
    element("thead", { class: "visually-hidden", role: "rowgroup" }, element("tr", { role: "row" }, heads)),
    element("tbody", { role: "rowgroup" }, rows),
  );
}

function order(kind) {
  const place = KINDS.indexOf(kind);
  return place < 0 ? KINDS.length : place;
}

function kindText(kind) {
  return hasText(`downloads.kind.${kind}`) ? text(`downloads.kind.${kind}`) : kind;
}

function grouped(found) {
  const groups = new Map();
  for (const file of found) {
    const key = `${stem(file)}.${suffix(file)}`;
    groups.set(key, [...(groups.get(key) ?? []), file]);
  }
  return groups;
}

function stem({ name }) {
  return name.replace(/\.\w+$/, "").replace(/(_\d{4}){1,2}$/, "");
}

function suffix({ name }) {
  return name.split(".").at(-1);
}

function fileRow(group) {
  let file = group.at(-1);
  const size = element("td", { class: "number", role: "cell" });
  const link = element("a", { download: true });
  const follow = (name) => {
    file = group.find((one) => one.name === name) ?? file;
    fill(size, bytes(file.bytes));
    link.setAttribute("href", file.url.replace(/^\//, ""));
    link.textContent = file.name;
  };
  follow(file.name);
  const words = contentText(file);
  const years = group.length > 1 ? select(text("downloads.year_of", { content: words }), group.map((one) => [one.name, yearText(String(one.year))]), file.name, follow) : (file.year ?? "");
  const cell = (content, attributes = {}) => element("td", { role: "cell", ...attributes }, content);
  return element(
    "tr",
    { role: "row" },
    element("th", { scope: "row", role: "rowheader" }, words),
    cell(FORMATS[suffix(file)] ?? suffix(file).toUpperCase(), { class: "small" }),
    cell(years, { class: "year" }),
    size,
    cell(link),
  );
}

function contentText(file) {
  const key = `downloads.file.${stem(file)}`;
  return hasText(key) ? text(key) : stem(file).replaceAll("_", " ");
}

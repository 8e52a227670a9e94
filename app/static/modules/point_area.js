/**
 * Values at a point, and in an area that the visitor draws, uploads or takes from the map's view.
 */

import { get, post, siteUrl } from "./api.js";
import { lineChart } from "./charts.js";
import { announce, button, element, fill, problem, select } from "./dom.js";
import { drawArea } from "./draw_area.js";
import { hectares, known, number, percent, position } from "./format.js";
import { indexName } from "./legends.js";
import { chartOf } from "./panel_areas.js";
import { foldedTable } from "./tables.js";
import { kindName, text } from "./texts.js";

const LARGEST_UPLOAD = 256 * 1024;
const FIRST_INDICES = ["ndvi", "bsi", "mndwi"];
const MOST_LINES = 6;

/**
 * The panel of readings.
 *
 * @param {HTMLElement} frame The map's frame.
 * @param {Object} siteMap See site_map.js.
 * @param {Object} site The answer of /api/sites/{id}.
 * @param {Object} store See site_state.js.
 * @returns {{node: HTMLElement, remove: function(): void}}
 */
export function readings(frame, siteMap, site, store) {
  const parts = { stopDrawing: null, uploaded: null, shape: null, requests: {} };
  const pointNode = element("section", { class: "reading" });
  const areaNode = element("section", { class: "reading" });
  const node = element("div", {}, pointNode, tools(), areaNode);

  function tools() {
    const input = element("input", {
      type: "file",
      accept: ".geojson,.json,application/geo+json,application/json",
      class: "visually-hidden",
      id: "area-file",
      on: { change: () => upload(input) },
    });
    return element(
      "div",
      { class: "bar no-print" },
      element("h2", {}, text("area.title")),
      button(text("area.draw"), draw),
      button(text("area.view"), () => store.set({ area: viewCorners(siteMap.map) })),
      input,
      element("label", { class: "button", for: "area-file" }, text("area.upload")),
      element("p", { class: "quiet small" }, text("area.help")),
    );
  }

  function draw() {
    parts.stopDrawing?.();
    parts.stopDrawing = drawArea(frame, siteMap, (corners) => {
      parts.stopDrawing = null;
      if (corners) store.set({ area: corners });
    });
  }

  async function upload(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    try {
      const geometry = await readUpload(file);
      parts.uploaded = geometry;
      store.set({ area: null });
      await showArea(geometry, file.name);
    } catch (error) {
      fill(areaNode, problem(error.message));
    }
  }

  async function showPoint({ point }) {
    if (!point) {
      fill(pointNode, element("h2", {}, text("point.title")), element("p", { class: "quiet" }, text("point.help")));
      return;
    }
    const [longitude, latitude] = point;
    fill(pointNode, element("h2", {}, text("point.at", { position: position(latitude, longitude) })), element("p", { class: "quiet" }, text("point.reading")));
    await read("point", pointNode, (signal) => get(`${siteUrl(site.id, "point")}?longitude=${longitude}&latitude=${latitude}`, { signal }), (answer) => {
      announce(pointSentence(answer, store.state.year));
      return pointNodes(answer, point, site, store);
    });
  }

  async function showArea(geometry, name = "") {
    drawShape(geometry);
    fill(areaNode, element("h2", {}, name || text("area.drawn")), element("p", { class: "quiet" }, text("point.reading")));
    await read("area", areaNode, (signal) => post(siteUrl(site.id, "area"), geometry, { signal }), (answer) => [
      element("h2", {}, name || text("area.drawn")),
      ...areaNodes(answer, site, store),
      button(text("area.remove"), removeArea, { class: "no-print" }),
    ]);
  }

  function drawShape(geometry) {
    parts.shape?.remove();
    parts.shape = L.geoJSON(geometry, { pane: "drawing", interactive: false, style: { color: "#ffffff", weight: 2.5, dashArray: "8 4", fill: false } });
    parts.shape.addTo(siteMap.map);
  }

  function removeArea() {
    parts.uploaded = null;
    parts.shape?.remove();
    store.set({ area: null });
    fill(areaNode);
  }

  /** Ask the server; only the latest answer counts. */
  async function read(name, holder, request, nodes) {
    parts.requests[name]?.abort();
    const own = (parts.requests[name] = new AbortController());
    holder.setAttribute("aria-busy", "true");
    try {
      const answer = await request(own.signal);
      if (parts.requests[name] === own) fill(holder, nodes(answer));
    } catch (error) {
      if (error.name !== "AbortError") fill(holder, problem(error.message));
    } finally {
      if (parts.requests[name] === own) holder.removeAttribute("aria-busy");
    }
  }

  function showDrawn({ area }) {
    if (area) {
      parts.uploaded = null;
      showArea({ type: "Polygon", coordinates: [[...area, area[0]]] });
    } else if (!parts.uploaded) {
      parts.shape?.remove();
      fill(areaNode);
    }
  }

  store.listen((state, changed) => {
    if (changed.has("point")) showPoint(state);
    if (changed.has("area")) {
      showDrawn(state);
      if (state.area) store.set({ panel: "point" });
    }
    if (changed.has("year")) for (const chart of node.querySelectorAll(".chart")) chart.mark?.(state.year);
  });
  showPoint(store.state);
  showDrawn(store.state);
  return {
    node,
    remove: () => {
      parts.stopDrawing?.();
      Object.values(parts.requests).forEach((request) => request.abort());
    },
  };
}

function viewCorners(map) {
  const view = map.getBounds();
  const [west, south, east, north] = [view.getWest(), view.getSouth(), view.getEast(), view.getNorth()];
  return [
    [west, south],
    [east, south],
    [east, north],
    [west, north],
  ];
}

/**
 * The GeoJSON of a file.
 *
 * @throws {Error} The file is too large, or holds no GeoJSON; the server checks the rest.
 */
async function readUpload(file) {
  if (file.size > LARGEST_UPLOAD) {
    throw new Error(text("area.too_large", { file: file.name, found: number(file.size / 1024, 0), most: number(LARGEST_UPLOAD / 1024, 0) }));
  }
  try {
    const found = JSON.parse(await file.text());
    if (found && typeof found === "object" && typeof found.type === "string") return found;
  } catch {
    // Said below.
  }
  throw new Error(text("area.no_geojson", { file: file.name }));
}

function minedWord(mined) {
  if (mined === null) return text("point.unknown");
  return text(mined ? "point.mined" : "point.not_mined");
}

function pointSentence(answer, year) {
  if (!answer.inside) return text("point.outside");
  const row = answer.years.find((one) => one.year === year);
  return row ? text("point.sentence", { year, mined: minedWord(row.mined) }) : "";
}

function pointNodes(answer, [longitude, latitude], site, store) {
  const title = element("h2", {}, text("point.at", { position: position(latitude, longitude) }));
  const remove = button(text("point.remove"), () => store.set({ point: null }), { class: "no-print" });
  if (!answer.inside) return [title, element("p", { class: "note" }, text("point.outside")), remove];
  const years = answer.years.map((row) => row.year);
  const chart = (more) => lineChart({ ...chartOf(site, store, more), years });
  return [
    title,
    element("p", {}, history(answer), " ", element("span", { class: "quiet small" }, text("point.pixel", { row: answer.row, column: answer.column }))),
    strip(answer.years),
    indexCharts(answer.years.map((row) => row.indices), chart, text("point.indices")),
    answer.years.some((row) => known(row.probability))
      ? chart({ title: text("layer.probability"), series: [{ name: text("layer.probability"), values: answer.years.map((row) => row.probability) }], fromZero: true, format: (value) => percent(value) })
      : null,
    reflectances(answer.years),
    remove,
  ];
}

function history({ first_year: first, last_year: last }) {
  if (!known(first) || first === 0) return text("point.never");
  return known(last) && last !== 0 ? text("point.from_to", { first, last }) : text("point.from", { first });
}

/** A cell for each year: mined, not mined, unknown; with its components. */
function strip(rows) {
  const cell = (row) => {
    const components = Object.values(row.components ?? {}).filter((name) => name && name !== "none");
    const words = [minedWord(row.mined), row.water ? text("kind.water") : "", ...components.map(kindName)].filter(Boolean).join(", ");
    const mark = row.mined === null ? "?" : row.mined ? "■" : "□";
    return element(
      "li",
      { class: row.mined ? "mined" : null, title: words },
      element("span", {}, row.year),
      element("span", { "aria-hidden": "true" }, row.water ? `${mark}≈` : mark),
      element("span", { class: "visually-hidden" }, words),
    );
  };
  return element("ol", { class: "strip", "aria-label": text("point.strip") }, rows.map(cell));
}

/** Indices of the same scale in one chart; the others by choice. */
function indexCharts(rows, chart, title, valueOf = (value) => value, spreadOf = null) {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row ?? {})))];
  if (!names.length) return null;
  const first = FIRST_INDICES.filter((name) => names.includes(name));
  const holder = element("div");
  const show = (choice) => {
    const shown = (choice === "several" ? first : [choice]).slice(0, MOST_LINES);
    const series = shown.map((name) => {
      const values = rows.map((row) => valueOf(row?.[name]) ?? null);
      if (!spreadOf || shown.length > 1) return { name: indexName(name), values };
      const edge = (sign) => rows.map((row, index) => (known(values[index]) && known(spreadOf(row?.[name])) ? values[index] + sign * spreadOf(row[name]) : null));
      return { name: indexName(name), values, low: edge(-1), high: edge(1) };
    });
    fill(holder, chart({ title: choice === "several" ? title : indexName(choice), series, format: (value) => number(value, 2) }));
  };
  const several = first.length > 1 ? [["several", first.map(indexName).join(", ")]] : [];
  const options = [...several, ...names.map((name) => [name, indexName(name)])];
  show(options[0][0]);
  return element("div", {}, select(text("indices.index"), options, options[0][0], show), holder);
}

function reflectances(rows) {
  const bands = [...new Set(rows.flatMap((row) => Object.keys(row.reflectance ?? {})))];
  if (!bands.length) return null;
  const columns = [{ label: text("chart.year") }, ...bands.map((band) => ({ label: band, number: true }))];
  const cells = rows.map((row) => [String(row.year), ...bands.map((band) => number(row.reflectance?.[band], 3))]);
  return foldedTable(text("point.reflectance"), text("point.reflectance"), columns, cells);
}

function areaNodes(answer, site, store) {
  if (!answer.years.length) return [element("p", { class: "note" }, text("area.outside"))];
  const years = answer.years.map((row) => row.year);
  const chart = (more) => lineChart({ ...chartOf(site, store, more), years });
  const partial = answer.covered_share < 0.995;
  const series = [{ name: text("areas.mapped"), values: answer.years.map((row) => row.mined_ha) }];
  if (answer.years.some((row) => known(row.water_ha))) series.push({ name: text("kind.water"), values: answer.years.map((row) => row.water_ha) });
  return [
    element("p", {}, text("area.size", { area: hectares(answer.area_ha) }), partial ? ` ${text("area.covered", { share: percent(answer.covered_share) })}` : ""),
    chart({ title: text("area.mined"), series, fromZero: true, format: (value) => number(value, 2) }),
    indexCharts(answer.years.map((row) => row.indices), chart, text("area.indices"), (value) => value?.mean, (value) => value?.spread),
  ];
}

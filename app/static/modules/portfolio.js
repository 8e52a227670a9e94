/**
 * The portfolio: a map with a marker for each site, and a table that sorts and searches.
 */

import { announce, button, element, fill } from "./dom.js";
import { hectares, interval, known, number, signedHectares } from "./format.js";
import { icon } from "./icons.js";
import { addGraticule, createMap, withoutTabStop } from "./map_base.js";
import { routeHash, sitePath } from "./router.js";
import { sortedTable } from "./tables.js";
import { countText, text } from "./texts.js";

/**
 * Show the portfolio.
 *
 * @param {HTMLElement} root
 * @param {Object} parameters `search`, `sort`, `order` and `at` (latitude, longitude, zoom).
 * @param {Object} context See main.js.
 * @returns {function(): void} Cleans up.
 */
export async function show(root, parameters, context) {
  const { portfolio } = context;
  const state = { search: parameters.search ?? "", sort: parameters.sort ?? "name", order: parameters.order ?? "ascending", at: parameters.at };
  const keep = () => context.navigate("/", state.order === "ascending" && state.sort === "name" ? { search: state.search, at: state.at } : state, { replace: true });
  if (portfolio.sites.length === 0) {
    fill(root, element("div", { class: "page" }, emptyPortfolio(), problems(portfolio)));
    return null;
  }
  const mapNode = element("div", { class: "portfolio-map" });
  const sorting = { key: state.sort, descending: state.order === "descending" };
  const table = sortedTable(text("portfolio.table"), columns(portfolio), sorting, ({ key, descending }) => {
    state.sort = key;
    state.order = descending ? "descending" : "ascending";
    keep();
  });
  const found = element("p", { class: "quiet small found" });
  const search = element("input", { type: "search", value: state.search, on: { input: () => filter(search.value) } });
  fill(
    root,
    element("section", { class: "portfolio-map-frame", "aria-label": text("portfolio.map") }, mapNode),
    element(
      "section",
      { class: "portfolio-list" },
      element("h1", {}, text("portfolio.title")),
      totals(portfolio),
      portfolio.sites.some((site) => known(site.adjusted_ha)) ? element("p", { class: "quiet small" }, text("portfolio.adjusted")) : null,
      element("div", { class: "bar" }, element("label", { class: "field" }, element("span", {}, text("portfolio.search")), search), found),
      problems(portfolio),
      table.node,
      portfolio.sites.some((site) => site.simulated) ? element("p", { class: "note" }, text("site.simulated_note")) : null,
    ),
  );
  const markers = drawMap(mapNode, portfolio, state, keep, table.node);

  function filter(words) {
    state.search = words;
    const wanted = words.trim().toLocaleLowerCase();
    const sites = portfolio.sites.filter((site) => site.name.toLocaleLowerCase().includes(wanted));
    table.show(sites);
    markers.show(new Set(sites.map((site) => site.id)));
    const count = countText("portfolio.found", sites.length);
    fill(found, count);
    if (wanted) announce(count);
    keep();
  }
  filter(state.search);
  return () => markers.map.remove();
}

function columns({ watch }) {
  const link = (site) =>
    element(
      "span",
      {},
      element("a", { href: routeHash(sitePath(site.id)) }, site.name),
      site.simulated ? element("span", { class: "tag" }, text("site.simulated")) : null,
    );
  return [
    { key: "name", label: text("portfolio.site"), value: (site) => site.name, cell: link },
    {
      key: "area",
      label: text("portfolio.area"),
      number: true,
      first: "descending",
      value: areaOf,
      cell: (site) => [hectares(areaOf(site)), intervalOf(site)],
    },
    {
      key: "trend",
      label: text("portfolio.trend"),
      number: true,
      first: "descending",
      value: (site) => site.trend_ha_per_year,
      cell: (site) => signedHectares(site.trend_ha_per_year),
    },
    {
      key: "outside",
      label: text("portfolio.outside"),
      number: true,
      first: "descending",
      value: (site) => site.outside_permits_ha,
      cell: (site) => hectares(site.outside_permits_ha),
    },
    watch && {
      key: "alerts",
      label: text("portfolio.alerts"),
      number: true,
      first: "descending",
      value: (site) => site.open_alerts,
      cell: (site) =>
        site.open_alerts ? element("a", { href: routeHash("/alerts", { site: site.id }) }, String(site.open_alerts)) : number(site.open_alerts, 0),
    },
    { key: "years", label: text("portfolio.years"), value: (site) => site.years.at(-1), cell: (site) => yearsOf(site) },
  ].filter(Boolean);
}

/** The adjusted area where there is one, else the mapped area. */
export function areaOf(site) {
  return known(site.adjusted_ha) ? site.adjusted_ha : site.area_ha;
}

function intervalOf(site) {
  const words = interval(site.low_ha, site.high_ha);
  return words ? element("span", { class: "interval" }, words) : null;
}

function yearsOf({ years }) {
  return years.length > 1 ? `${years[0]}–${years.at(-1)}` : String(years[0] ?? "");
}

function totals({ sites, watch }) {
  const sum = (value) => sites.map(value).filter(known).reduce((total, each) => total + each, 0);
  const outside = sites.filter((site) => known(site.outside_permits_ha));
  const shown = [
    [text("portfolio.total_sites"), number(sites.length, 0)],
    [text("portfolio.total_area"), hectares(sum(areaOf))],
    outside.length ? [text("portfolio.outside"), hectares(sum((site) => site.outside_permits_ha))] : null,
    watch ? [text("portfolio.alerts"), number(watch.open_alerts, 0)] : null,
  ].filter(Boolean);
  return element("dl", { class: "figures" }, shown.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

function emptyPortfolio() {
  return [element("h1", {}, text("portfolio.empty")), element("p", {}, text("portfolio.empty_help")), element("pre", {}, "euromine series ...")];
}

function problems(portfolio) {
  if (!portfolio.problems?.length) return null;
  return element(
    "details",
    { class: "problems" },
    element("summary", {}, countText("portfolio.problems", portfolio.problems.length)),
    element("ul", {}, portfolio.problems.map((sentence) => element("li", {}, sentence))),
  );
}

function drawMap(node, portfolio, state, keep, table) {
  const map = createMap(node, text("portfolio.map_help"), portfolio.features.basemap, { minZoom: 2, maxZoom: 15 });
  addGraticule(map);
  const largest = Math.max(...portfolio.sites.map(areaOf).filter(known), 1);
  const markers = new Map();
  for (const site of portfolio.sites) {
    if (!known(site.latitude) || !known(site.longitude)) continue;
    const marker = L.circleMarker([site.latitude, site.longitude], {
      radius: 5 + 9 * Math.sqrt((areaOf(site) || 0) / largest),
      className: `site-marker${site.open_alerts ? " with-alerts" : ""}`,
    });
    marker.bindTooltip(tip(site), { direction: "top", offset: [0, -6], className: "tip" });
    marker.on("click", () => (window.location.hash = routeHash(sitePath(site.id))));
    marker.on("mouseover mouseout", (event) => rowOf(table, site.id)?.classList.toggle("lit", event.type === "mouseover"));
    markers.set(site.id, withoutTabStop(marker).addTo(map));
  }
  const lit = (event, on) => {
    const marker = markers.get(event.target.closest?.("tr")?.dataset.id);
    marker?.getElement()?.classList.toggle("lit", on);
    if (on) marker?.bringToFront();
  };
  table.addEventListener("mouseover", (event) => lit(event, true));
  table.addEventListener("mouseout", (event) => lit(event, false));
  const bounds = L.latLngBounds([...markers.values()].map((marker) => marker.getLatLng()));
  const home = () => map.fitBounds(bounds, { padding: [40, 40], maxZoom: 9, animate: false });
  const at = (state.at ?? "").split(",").map(Number);
  if (at.length === 3 && at.every(Number.isFinite)) map.setView([at[0], at[1]], at[2], { animate: false });
  else home();
  addHome(map, home);
  map.on("moveend", () => {
    const { lat, lng } = map.getCenter();
    state.at = `${lat.toFixed(3)},${lng.toFixed(3)},${map.getZoom()}`;
    keep();
  });
  const show = (ids) => {
    for (const [id, marker] of markers) if (ids.has(id)) marker.addTo(map);
      else marker.remove();
  };
  return { map, show };
}

function addHome(map, home) {
  const control = L.control({ position: "topleft" });
  control.onAdd = () => element("div", { class: "leaflet-bar home no-print" }, button(icon("fit"), home, { title: text("map.home"), "aria-label": text("map.home") }));
  control.addTo(map);
}

function rowOf(table, id) {
  return table.querySelector(`tr[data-id="${CSS.escape(id)}"]`);
}

function tip(site) {
  return element(
    "div",
    {},
    element("strong", {}, site.name),
    element("div", {}, `${hectares(areaOf(site))} ${interval(site.low_ha, site.high_ha)}`),
    site.open_alerts ? element("div", {}, `${number(site.open_alerts, 0)} ${countText("nav.open_alerts", site.open_alerts)}`) : null,
  );
}

/**
 * Alerts of a watch: filters, list and map; the one selected with its pictures, facts and reviews (alert_details.js).
 */

import { alertDetails } from "./alert_details.js";
import { alertMap } from "./alert_map.js";
import { marks, ruleText, verdictOf } from "./alert_words.js";
import { saveCsv } from "./csv.js";
import { announce, button, element, fill, select } from "./dom.js";
import { hectares, moment } from "./format.js";
import { routeHash } from "./router.js";
import { countText, language, text } from "./texts.js";

const AT_ONCE = 200;
const FILTERS = ["site", "rule", "status", "review"];
const STATUSES = ["open", "all", "suspected", "confirmed", "resolved"];
const REVIEWS = ["none", "confirmed", "rejected"];

/** The view: `#/alerts?site=&rule=&status=&review=&alert=ID`. Open alerts are shown where no status is given. */
export async function show(root, parameters, context) {
  const { alerts } = await context.api.get(context.api.worded("api/alerts"));
  const state = { alerts, chosen: Object.fromEntries(FILTERS.map((name) => [name, parameters[name] ?? ""])), most: AT_ONCE };
  state.selected = parameters.alert ?? "";

  const count = element("p", { class: "quiet small", role: "status" });
  const list = element("ul", { class: "alert-list" });
  const details = element("section", { class: "alert-details", "aria-label": text("alerts.details"), tabindex: "-1" });
  const map = alertMap(context, (id) => choose(id));
  fill(
    root,
    element(
      "div",
      { class: "alert-side" },
      element("h1", {}, text("alerts.title")),
      latestRun(context.portfolio.watch),
      filters(state, changeFilter),
      count,
      list,
      exports(() => shown()),
    ),
    element("div", { class: "alert-main" }, map.node, details),
  );
  map.start();
  draw();
  await drawDetails();
  return () => map.remove();

  function shown() {
    return state.alerts.filter((alert) => fits(alert, state.chosen)).sort(byUrgency);
  }

  function draw() {
    const found = shown();
    count.textContent = countText("alerts.count", found.length);
    const items = found.slice(0, state.most).map((alert) => listed(alert, alert.id === state.selected, choose));
    const rest = found.length - items.length;
    const more = button(countText("alerts.more", rest), () => ((state.most += AT_ONCE), draw()));
    fill(list, items, rest > 0 ? element("li", {}, more) : null);
    if (found.length === 0) fill(list, element("li", { class: "quiet" }, text(emptyText(state.alerts))));
    map.show(found, state.selected);
  }

  async function drawDetails() {
    root.classList.toggle("has-alert", state.selected !== "");
    const alert = state.alerts.find((one) => one.id === state.selected);
    context.title(alert ? `${ruleText(alert.rule)}: ${alert.site}` : text("alerts.title"));
    if (!alert) {
      fill(details, element("p", { class: "quiet" }, text(state.selected ? "alerts.missing" : "alerts.choose")));
      return;
    }
    fill(details, back(), await alertDetails(alert, context, reviewed));
  }

  function back() {
    return button(text("alerts.back"), () => choose(""), { class: "alert-back" });
  }

  async function choose(id) {
    const before = state.selected;
    state.selected = id;
    keepAddress({ isNew: before === "" && id !== "" });
    draw();
    await drawDetails();
    if (id) details.focus({ preventScroll: true });
    else list.querySelector(`[data-id="${CSS.escape(before)}"]`)?.focus();
    (id ? details : list).scrollIntoView?.({ block: "nearest" });
  }

  function changeFilter(name, value) {
    state.chosen[name] = value;
    state.most = AT_ONCE;
    keepAddress({ isNew: false });
    draw();
    announce(count.textContent);
  }

  /** The first alert opened adds a step to the history, so that Back leads to the list on a phone. */
  function keepAddress({ isNew }) {
    const hash = routeHash("/alerts", { ...state.chosen, alert: state.selected });
    if (isNew) window.history.pushState(null, "", hash);
    else window.history.replaceState(null, "", hash);
  }

  async function reviewed(alert) {
    state.alerts = state.alerts.map((one) => (one.id === alert.id ? { ...one, ...alert } : one));
    draw();
    await drawDetails();
    details.focus({ preventScroll: true });
    announce(text("alerts.review_kept"));
    context.portfolio = await context.refresh();
  }
}

function fits(alert, { site, rule, status, review }) {
  if (site && siteOf(alert) !== site) return false;
  if (rule && alert.rule !== rule) return false;
  if (review && verdictOf(alert) !== review) return false;
  if (status === "all") return true;
  return status && status !== "open" ? alert.status === status : alert.open;
}

/** Open alerts first, then the latest and the largest. */
function byUrgency(one, other) {
  return other.open - one.open || other.last_year - one.last_year || (other.area_ha ?? 0) - (one.area_ha ?? 0);
}

/** The site's id, as other views link to; its name where the app does not show the site. */
function siteOf(alert) {
  return alert.site_id ?? alert.site;
}

function emptyText(alerts) {
  return alerts.length === 0 ? "alerts.none_at_all" : "alerts.none";
}

function latestRun(watch) {
  if (!watch) return element("p", { class: "note" }, text("alerts.no_watch"));
  const run = watch.latest_run;
  if (!run) return null;
  const failed = run.failures ? ` ${countText("alerts.failed_sites", run.failures)}` : "";
  return element("p", { class: "quiet small" }, text("alerts.latest_run", { time: moment(run.finished ?? run.started) }) + failed);
}

function filters(state, onChange) {
  const sites = new Map(state.alerts.map((alert) => [siteOf(alert), alert.site]));
  const rules = [...new Set(state.alerts.map((alert) => alert.rule))].sort();
  const one = (name, options) =>
    select(text(`alerts.${name}`), options, state.chosen[name], (value) => onChange(name, value));
  const worded = (values, key) => values.map((value) => [value, text(`alerts.${key}.${value}`)]);
  const statuses = worded(STATUSES, "status").map(([value, words]) => [value === "open" ? "" : value, words]);
  return element(
    "fieldset",
    { class: "alert-filters" },
    element("legend", {}, text("alerts.filters")),
    one("site", [["", text("alerts.every_site")], ...[...sites].sort(([, a], [, b]) => a.localeCompare(b, language(), { numeric: true }))]),
    one("rule", [["", text("alerts.every_rule")], ...rules.map((name) => [name, ruleText(name)])]),
    one("status", statuses),
    one("review", [["", text("alerts.every_review")], ...worded(REVIEWS, "verdict")]),
  );
}

function listed(alert, isSelected, choose) {
  const years = alert.year === alert.last_year ? alert.year : `${alert.year}–${alert.last_year}`;
  return element(
    "li",
    {},
    element(
      "button",
      {
        type: "button",
        class: "alert-item",
        "data-id": alert.id,
        "aria-current": isSelected ? "true" : null,
        on: { click: () => choose(alert.id) },
      },
      element("span", { class: "alert-name" }, ruleText(alert.rule)),
      element("span", { class: "alert-area" }, alert.area_ha === null ? "" : hectares(alert.area_ha)),
      element("span", { class: "quiet small" }, [alert.site, years, alert.simulated ? text("site.simulated") : null].filter(Boolean).join(" · ")),
      marks(alert, { isListed: true }),
    ),
  );
}

function exports(shown) {
  return element(
    "p",
    { class: "alert-exports small" },
    button(text("alerts.export_csv"), () => saveCsv("alerts.csv", csvColumns(), shown()), { class: "link-button" }),
    element("a", { href: "api/alerts.geojson", download: "alerts.geojson" }, text("alerts.export_geojson")),
    element("a", { href: "alerts.atom" }, text("alerts.export_atom")),
  );
}

/** Names of columns are those of the API in every language, as programs read them. */
function csvColumns() {
  const plain = ["id", "site", "rule", "status", "year", "last_year", "before_year", "area_ha", "low_ha", "high_ha"];
  const rest = ["interval", "longitude", "latitude", "sentence", "permits", "simulated", "opened", "changed"];
  const lists = ["models", "images"];
  return [
    ...[...plain, ...rest].map((name) => [name, (alert) => alert[name]]),
    ...lists.map((name) => [name, (alert) => alert[name].join(" ")]),
    ["verdict", verdictOf],
    ["reviewer", (alert) => alert.reviews.at(-1)?.name],
    ["comment", (alert) => alert.reviews.at(-1)?.comment],
  ];
}

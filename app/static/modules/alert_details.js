/**
 * One alert: pictures before and after, facts, reviews and the form for another review.
 */

import { crop } from "./alert_crop.js";
import { pictureLayer } from "./alert_map.js";
import { marks, ruleText } from "./alert_words.js";
import { siteUrl } from "./api.js";
import { button, element, fill, problem } from "./dom.js";
import { hectares, interval, moment, position } from "./format.js";
import { routeHash, sitePath } from "./router.js";
import { store, stored, text } from "./texts.js";

const REVIEWER = "euromine.reviewer";
const CLOSE = 15;

/**
 * The content of the details.
 *
 * @param {Object} alert One of /api/alerts.
 * @param {Object} context The view's.
 * @param {function(Object): void} onReview Called with the alert after a review.
 * @returns {Promise<HTMLElement>}
 */
export async function alertDetails(alert, context, onReview) {
  return element(
    "article",
    {},
    element("h2", {}, `${ruleText(alert.rule)}: `, siteLink(alert)),
    marks(alert),
    element("p", { class: "finding" }, alert.sentence),
    await pictures(alert, context),
    element("p", { class: "small quiet" }, text("alerts.outlines_only")),
    facts(alert),
    reviews(alert),
    context.portfolio.features.review
      ? reviewForm(alert, context, onReview)
      : element("p", { class: "note" }, text("alerts.review_closed")),
  );
}

function siteLink(alert) {
  if (!alert.site_id) return alert.site;
  const at = alert.longitude === null ? null : `${alert.latitude},${alert.longitude},${CLOSE}`;
  const parameters = { year: alert.last_year, at, show: "footprints,permits" };
  if (alert.before_year !== null) Object.assign(parameters, { compare: alert.before_year, mode: "swipe" });
  return element("a", { href: routeHash(sitePath(alert.site_id), parameters) }, alert.site);
}

async function pictures(alert, context) {
  const site = alert.site_id ? await context.api.siteFacts(alert.site_id).catch(() => null) : null;
  const moments = [
    ["before", alert.before_year],
    ["after", alert.last_year],
  ];
  const figures = moments.filter(([, year]) => year !== null).map(([name, year]) => figure(alert, site, name, year));
  if (figures.every((found) => found === null)) return null;
  return element("div", { class: "alert-pictures" }, figures);
}

/** The watch's own picture, else the place on the site's picture of the year. */
function figure(alert, site, name, year) {
  const caption = text(`alerts.picture_${name}`, { year });
  const alternative = text("alerts.picture_of", { site: alert.site, year });
  const address = alert.pictures[name];
  const layer = site && alert.geometry ? pictureLayer(site, year) : null;
  let picture = null;
  if (address) picture = element("img", { src: address.replace(/^\//, ""), alt: alternative });
  else if (layer) picture = crop(siteUrl(site.id, "pictures", layer.key, `${year}.${layer.format}`), layer.bounds, alert.geometry, alternative);
  if (!picture) return null;
  return element("figure", {}, picture, element("figcaption", {}, caption));
}

function facts(alert) {
  const between = interval(alert.low_ha, alert.high_ha);
  const area = hectares(alert.area_ha) + (between ? ` (${between}; ${alert.interval})` : "");
  const rows = [
    ["area", alert.area_ha === null ? null : area],
    ["seen", alert.year === alert.last_year ? alert.year : text("alerts.from_to", { first: alert.year, last: alert.last_year })],
    ["before", alert.before_year],
    ["permit_test", alert.rule === "outside_permit" ? text("alerts.outside", { file: alert.permits }) : text("alerts.not_tested")],
    ["place", alert.longitude === null ? null : position(alert.latitude, alert.longitude)],
    ["models", codes(alert.models)],
    ["images", codes(alert.images)],
    ["opened", moment(alert.opened)],
    ["changed", moment(alert.changed)],
    ["id", element("code", {}, alert.id)],
  ];
  const given = rows.filter(([, value]) => value !== null && value !== undefined);
  return element("dl", { class: "facts" }, given.map(([name, value]) => [element("dt", {}, text(`alerts.fact_${name}`)), element("dd", {}, value)]));
}

function codes(names) {
  if (names.length === 0) return null;
  return element("ul", { class: "codes" }, names.map((name) => element("li", {}, element("code", {}, name))));
}

function reviews(alert) {
  const items = alert.reviews.map((review) =>
    element(
      "li",
      {},
      element("strong", {}, text(`alerts.verdict.${review.verdict}`)),
      element("span", { class: "quiet small" }, ` ${review.name ? `${review.name}, ` : ""}${moment(review.time)}`),
      review.comment ? element("p", { class: "comment" }, review.comment) : null,
    ),
  );
  return element(
    "section",
    {},
    element("h3", {}, text("alerts.reviews")),
    items.length ? element("ol", { class: "reviews" }, items) : element("p", { class: "quiet" }, text("alerts.no_review")),
  );
}

function reviewForm(alert, context, onReview) {
  const { user } = context.portfolio;
  const name = element("input", { type: "text", required: true, maxlength: 200, autocomplete: "name", value: user ?? stored(REVIEWER) ?? "" });
  const comment = element("textarea", { rows: 3, maxlength: 5000 });
  const answer = element("div");
  const buttons = ["confirmed", "rejected"].map((verdict) =>
    button(text(`alerts.verb.${verdict}`), () => send(verdict), { class: verdict === "confirmed" ? "primary" : null }),
  );

  async function send(verdict) {
    if (!name.value.trim()) {
      fill(answer, problem(text("alerts.name_missing")));
      name.focus();
      return;
    }
    store(REVIEWER, name.value.trim());
    for (const one of buttons) one.disabled = true;
    try {
      const body = { verdict, name: name.value.trim(), comment: comment.value };
      const address = context.api.worded(`api/alerts/${encodeURIComponent(alert.id)}/review`);
      onReview(await context.api.post(address, body));
    } catch (error) {
      if (!(error instanceof context.api.ApiError)) throw error;
      fill(answer, problem(error.message));
      for (const one of buttons) one.disabled = false;
    }
  }

  return element(
    "form",
    { class: "review-form no-print", on: { submit: (event) => event.preventDefault() } },
    element("h3", {}, text("alerts.review_title")),
    element("label", { class: "stacked" }, element("span", {}, text("alerts.name")), name),
    element("label", { class: "stacked" }, element("span", {}, text("alerts.comment")), comment),
    element("p", { class: "small quiet" }, text("alerts.review_hint")),
    element("div", { class: "buttons" }, buttons),
    answer,
  );
}

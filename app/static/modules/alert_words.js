/**
 * Alerts in words: rules, verdicts and marks.
 */

import { element } from "./dom.js";
import { hasText, text } from "./texts.js";

/** A rule in words; one that the page does not know shows its name. */
export function ruleText(rule) {
  return hasText(`alerts.rule.${rule}`) ? text(`alerts.rule.${rule}`) : rule;
}

/** The latest verdict: confirmed, rejected or none. */
export function verdictOf(alert) {
  return alert.reviews.at(-1)?.verdict ?? "none";
}

/** A missing image is not seen in any: its alert waits for one. */
function statusText({ rule, status }) {
  if (rule === "no_data") return text(status === "resolved" ? "alerts.status.arrived" : "alerts.status.awaited");
  return text(`alerts.status.${status}`);
}

/** Marks of an alert: its status, its verdict and, where it is not one of a list, whether its images are simulated. */
export function marks(alert, { isListed = false } = {}) {
  const verdict = verdictOf(alert);
  return element(
    "span",
    { class: "marks" },
    element("span", { class: `mark status-${alert.status}` }, statusText(alert)),
    verdict === "none" ? null : element("span", { class: `mark verdict-${verdict}` }, text(`alerts.verdict.${verdict}`)),
    alert.simulated && !isListed ? element("span", { class: "mark" }, text("alerts.simulated")) : null,
  );
}

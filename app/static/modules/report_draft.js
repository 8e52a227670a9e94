/**
 * Drafts of reports, kept in the browser by site.
 */

import { store, stored } from "./texts.js";

const KEY = "euromine.report.";
const AUTHOR = "euromine.report_author";

/**
 * The draft of a site's report; a new one names the author of the latest.
 *
 * @param {string} id The site.
 * @param {Array<{name: string}>} sections The sections on offer.
 * @returns {{title: string, author: string, organisation: string, order: string[], chosen: Object<string, boolean>, notes: Object<string, string>}}
 */
export function draftOf(id, sections) {
  const kept = { ...parsed(stored(AUTHOR)), ...parsed(stored(KEY + id)) };
  const names = sections.map(({ name }) => name);
  // Sections that a new version adds come last; those that are gone are dropped.
  const known = (Array.isArray(kept.order) ? kept.order : []).filter((name) => names.includes(name));
  const order = [...known, ...names.filter((name) => !known.includes(name))];
  return {
    title: words(kept.title),
    author: words(kept.author),
    organisation: words(kept.organisation),
    order,
    chosen: Object.fromEntries(order.map((name) => [name, kept.chosen?.[name] !== false])),
    notes: Object.fromEntries(Object.entries(kept.notes ?? {}).filter(([, note]) => typeof note === "string")),
  };
}

/** Keep a draft; null forgets it. */
export function keepDraft(id, draft) {
  store(KEY + id, JSON.stringify(draft ?? {}));
  if (draft) store(AUTHOR, JSON.stringify({ author: draft.author, organisation: draft.organisation }));
}

/**
 * An order with one name moved; the same order where it cannot move.
 *
 * @param {string[]} order
 * @param {string} name
 * @param {number} by Places, negative for upwards.
 */
export function moved(order, name, by) {
  const from = order.indexOf(name);
  const to = Math.min(Math.max(from + by, 0), order.length - 1);
  if (from < 0 || to === from) return order;
  const rest = order.filter((one) => one !== name);
  return [...rest.slice(0, to), name, ...rest.slice(to)];
}

function parsed(json) {
  try {
    const value = JSON.parse(json ?? "{}");
    return value && typeof value === "object" ? value : {};
  } catch {
    return {};
  }
}

function words(value) {
  return typeof value === "string" ? value : "";
}

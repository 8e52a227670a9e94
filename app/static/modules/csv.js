/**
 * Tables as CSV files (RFC 4180), made in the browser.
 */

import { element } from "./dom.js";

// A spreadsheet takes a text that begins with one of these for a formula.
const FORMULA = /^[=+\-@\t\r]/;

/**
 * Rows as CSV.
 *
 * @param {Array<[string, function(Object): (string|number|boolean|null|undefined)]>} columns Names and values.
 * @param {Array<Object>} rows
 * @returns {string}
 */
export function csvText(columns, rows) {
  const lines = [columns.map(([name]) => name), ...rows.map((row) => columns.map(([, value]) => value(row)))];
  return lines.map((cells) => cells.map(cellText).join(",")).join("\r\n") + "\r\n";
}

function cellText(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "string") return String(value);
  const safe = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Save rows as a CSV file in UTF-8. */
export function saveCsv(name, columns, rows) {
  // The mark at the start makes spreadsheets read UTF-8.
  save(name, new Blob(["\ufeff", csvText(columns, rows)], { type: "text/csv;charset=utf-8" }));
}

/** Save bytes as a file of the visitor's. */
export function save(name, blob) {
  const address = URL.createObjectURL(blob);
  element("a", { href: address, download: name }).click();
  // Browsers read the address after the click returned.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

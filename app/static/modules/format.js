/**
 * Numbers, shares, intervals and dates as the language in use writes them. Unknown values are a dash.
 */

import { language, text } from "./texts.js";

export const UNKNOWN = "–";

// A formatter takes longer to make than a hundred numbers to format.
const formatters = new Map();

function formatter(options) {
  const key = `${language()} ${JSON.stringify(options)}`;
  if (!formatters.has(key)) formatters.set(key, new Intl.NumberFormat(language(), options));
  return formatters.get(key);
}

/** Whether a value of the API is a number. */
export function known(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/**
 * A number.
 *
 * @param {number|null} value
 * @param {number} [digits] Digits after the point; none given: as many as three significant ones need.
 */
export function number(value, digits) {
  if (!known(value)) return UNKNOWN;
  const places = digits ?? Math.max(0, Math.min(3, 2 - Math.floor(Math.log10(Math.abs(value) || 1))));
  const shown = formatter({ minimumFractionDigits: places, maximumFractionDigits: places }).format(value);
  return shown.replace("-", "−");
}

/** Hectares, with the unit: one digit up to 100 ha, none above. */
export function hectares(value) {
  return known(value) ? `${number(value, areaDigits(value))} ha` : UNKNOWN;
}

/** Hectares with their sign, such as a gain or a trend. */
export function signedHectares(value) {
  if (!known(value)) return UNKNOWN;
  const digits = areaDigits(value);
  const sign = Number(value.toFixed(digits)) === 0 ? "" : value > 0 ? "+" : "−";
  return `${sign}${number(Math.abs(value), digits)}`;
}

function areaDigits(value) {
  if (Math.abs(value) >= 100) return 0;
  return Math.abs(value) >= 1 ? 1 : 2;
}

/** An interval such as "95.1 to 120 ha"; empty where there is none. */
export function interval(low, high) {
  if (!known(low) || !known(high)) return "";
  const digits = areaDigits(Math.max(Math.abs(low), Math.abs(high)));
  return text("format.interval", { low: number(low, digits), high: number(high, digits) });
}

/** A share from 0 to 1 in percent. */
export function percent(value, digits = 0) {
  if (!known(value)) return UNKNOWN;
  return formatter({ style: "percent", maximumFractionDigits: digits }).format(value);
}

/** A date from ISO 8601, without its time. */
export function date(value) {
  const moment = new Date(value);
  if (!value || Number.isNaN(moment.valueOf())) return UNKNOWN;
  return new Intl.DateTimeFormat(language(), { dateStyle: "medium", timeZone: "UTC" }).format(moment);
}

/** A moment from ISO 8601, with its time in UTC. */
export function moment(value) {
  const when = new Date(value);
  if (!value || Number.isNaN(when.valueOf())) return UNKNOWN;
  const shown = new Intl.DateTimeFormat(language(), { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });
  return `${shown.format(when)} UTC`;
}

/** A size in bytes, such as "1.2 MB" or "662 bytes". */
export function bytes(value) {
  if (!known(value)) return UNKNOWN;
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const step = Math.min(3, Math.floor(Math.log10(Math.max(value, 1)) / 3));
  const unitDisplay = step > 0 ? "short" : "long";
  const shown = { style: "unit", unit: units[step], unitDisplay, maximumFractionDigits: step > 1 ? 1 : 0 };
  return formatter(shown).format(value / 1000 ** step);
}

/** Latitude and longitude, such as "51.7379° N, 10.8830° E". */
export function position(latitude, longitude) {
  const north = text(latitude >= 0 ? "format.north" : "format.south");
  const east = text(longitude >= 0 ? "format.east" : "format.west");
  return `${number(Math.abs(latitude), 4)}° ${north}, ${number(Math.abs(longitude), 4)}° ${east}`;
}

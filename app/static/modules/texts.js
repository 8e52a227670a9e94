/**
 * Texts of the page in the visitor's language, from `languages/<language>.json`: flat keys, `{name}` placeholders.
 */

export const LANGUAGES = { en: "English", de: "Deutsch" };
const STORED = "euromine.language";

let current = preferredLanguage();
let words = {};

/** The language in use. */
export function language() {
  return current;
}

/** The language a visitor chose before, else the browser's, else English. */
export function preferredLanguage() {
  const wanted = [stored(STORED), ...(navigator.languages ?? [])];
  return wanted.map((tag) => tag?.slice(0, 2).toLowerCase()).find((tag) => tag in LANGUAGES) ?? "en";
}

/**
 * Load a language's texts and use them.
 *
 * @param {string} wanted A key of `LANGUAGES`.
 * @throws {Error} The texts cannot be loaded.
 */
export async function useLanguage(wanted) {
  const answer = await fetch(`static/languages/${wanted}.json`);
  if (!answer.ok) throw new Error(`static/languages/${wanted}.json: ${answer.status}`);
  words = await answer.json();
  current = wanted;
  document.documentElement.lang = wanted;
}

/** Remember a language for the next visit. */
export function rememberLanguage(wanted) {
  store(STORED, wanted);
}

/**
 * A text. A missing key shows itself, so that it is found.
 *
 * @param {string} key Its key.
 * @param {Object} [values] Values of its placeholders.
 * @returns {string}
 */
export function text(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (match, name) => (name in values ? String(values[name]) : match));
}

/**
 * The name of a kind of ground, change or component: `kind.<name>`, or the name itself where there is no text.
 *
 * @param {string|number} name As in a table, a legend or outlines: "leach_pad", "Tree cover", 2019.
 */
export function kindName(name) {
  const key = `kind.${String(name).toLowerCase().replaceAll(" ", "_")}`;
  return key in words ? words[key] : String(name).replaceAll("_", " ");
}

/** Whether there is a text of this key. */
export function hasText(key) {
  return key in words;
}

/**
 * A text for a number of things: `key.one`, `key.other`.
 *
 * @param {string} key The key without its ending.
 * @param {number} count The number, shown at `{count}`.
 * @param {Object} [values] Values of other placeholders.
 * @returns {string}
 */
export function countText(key, count, values = {}) {
  const form = new Intl.PluralRules(current).select(count);
  const shown = new Intl.NumberFormat(current).format(count);
  return text(form === "one" ? `${key}.one` : `${key}.other`, { count: shown, ...values });
}

/** A value kept in the browser; null where it keeps none. */
export function stored(key) {
  try {
    return window.localStorage.getItem(key);
  } catch {
    return null; // Storage is refused in private windows and in some frames: nothing is remembered there.
  }
}

/** Keep a value in the browser, where it allows that. */
export function store(key, value) {
  try {
    window.localStorage.setItem(key, value);
  } catch {
    // See stored().
  }
}

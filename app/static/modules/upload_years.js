/**
 * The years of images, guessed from the names of their files.
 */

const FIRST = 1980;
const LAST = 2100;

// As the server reads names: Sentinel-2 products by their sensing time, full dates, four digits.
const PATTERNS = [
  /S2[A-D]_MSIL[12][AC]_(\d{4})\d{4}T\d{6}_N\d{4}_/g,
  /(?<!\d)((?:19|20)\d\d)[-_]?(?:0[1-9]|1[0-2])[-_]?(?:0[1-9]|[12]\d|3[01])(?=T|\D|$)/g,
  /(?<!\d)((?:19|20)\d\d)(?!\d)/g,
];
const FIRST_OF_SENTINEL_2 = 2015;

/** The year in a file's name, such as 2019 in "S2_20190712_T33.tif"; null without one or with several. */
export function guessedYear(name) {
  const stem = name.replace(/\.[^.]*$/, "");
  for (const pattern of PATTERNS) {
    const years = new Set([...stem.matchAll(pattern)].map((match) => Number(match[1])));
    if (years.size === 0) continue;
    const possible = [...years].filter((year) => year >= FIRST_OF_SENTINEL_2);
    const found = possible.length ? possible : [...years];
    return found.length === 1 ? found[0] : null;
  }
  return null;
}

/**
 * Files with their years, the earliest first; a file chosen again replaces the one of its name.
 *
 * @param {Array<{file: File, year: number|null}>} entries
 * @param {File[]} files
 */
export function withYears(entries, files) {
  const names = new Set(files.map((file) => file.name));
  const added = files.map((file) => ({ file, year: guessedYear(file.name) }));
  const all = [...entries.filter(({ file }) => !names.has(file.name)), ...added];
  return all.sort((a, b) => (a.year ?? LAST) - (b.year ?? LAST) || a.file.name.localeCompare(b.file.name));
}

/** The text that names a wrong or missing year; null where each image has a year of its own. */
export function yearProblem(entries) {
  const seen = new Set();
  for (const { file, year } of entries) {
    if (!(Number.isInteger(year) && year >= FIRST && year <= LAST)) return { key: "jobs.year_missing", values: { file: file.name } };
    if (seen.has(year)) return { key: "jobs.year_twice", values: { year } };
    seen.add(year);
  }
  return null;
}

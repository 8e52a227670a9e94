/**
 * The years of images, guessed from the names of their files.
 */

const FIRST = 1980;
const LAST = 2100;

/** The year in a file's name, such as 2019 in "S2_20190712_T33.tif"; null without one or with several. */
export function guessedYear(name) {
  const years = new Set();
  for (const [digits] of name.matchAll(/\d+/g)) {
    // 20190712 and 201907 begin with a year; other long numbers are of orbits or tiles.
    if (![4, 6, 8].includes(digits.length)) continue;
    const year = Number(digits.slice(0, 4));
    const month = digits.length > 4 ? Number(digits.slice(4, 6)) : 1;
    if (year >= FIRST && year <= LAST && month >= 1 && month <= 12) years.add(year);
  }
  return years.size === 1 ? [...years][0] : null;
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

/** The key of a text on what is wrong with the years; null where each image has a year of its own. */
export function yearProblem(entries) {
  const seen = new Set();
  for (const { file, year } of entries) {
    if (!(Number.isInteger(year) && year >= FIRST && year <= LAST)) return { key: "jobs.year_missing", values: { file: file.name } };
    if (seen.has(year)) return { key: "jobs.year_twice", values: { year } };
    seen.add(year);
  }
  return null;
}

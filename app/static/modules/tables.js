/**
 * Tables: plain ones below charts, and ones that sort by their columns.
 */

import { button, element, fill } from "./dom.js";
import { language } from "./texts.js";

/**
 * A table.
 *
 * @param {string} caption Its caption.
 * @param {Array<{label: string, number?: boolean}>} columns
 * @param {Array<Array<Node|string|number>>} rows Cells by row; the first one of a row is its header.
 * @param {{hideCaption?: boolean}} [options]
 * @returns {HTMLElement} A frame that scrolls sideways where the table is wider.
 */
export function dataTable(caption, columns, rows, { hideCaption = false } = {}) {
  const head = columns.map(({ label, number }) => element("th", { scope: "col", class: number ? "number" : null }, label));
  const body = rows.map((cells) => element("tr", {}, cells.map((cell, index) => cellOf(cell, columns[index], index === 0))));
  return frame(
    caption,
    element(
      "table",
      {},
      element("caption", { class: hideCaption ? "visually-hidden" : null }, caption),
      element("thead", {}, element("tr", {}, head)),
      element("tbody", {}, body),
    ),
  );
}

function cellOf(content, column, first) {
  const attributes = { class: column?.number ? "number" : null };
  return first ? element("th", { scope: "row", ...attributes }, content) : element("td", attributes, content);
}

/** A frame is focusable, so that a keyboard can scroll it. */
function frame(caption, table) {
  return element("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": caption }, table);
}

/** A table, folded below a chart. */
export function foldedTable(summary, caption, columns, rows) {
  const details = element("details", { class: "as-table" }, element("summary", {}, summary));
  // Built on opening: a panel of ten charts need not hold ten tables. Printing opens each, and does not wait for events.
  details.unfold = () => {
    if (details.childElementCount === 1) details.append(dataTable(caption, columns, rows, { hideCaption: true }));
    details.open = true;
  };
  details.addEventListener("toggle", () => details.open && details.unfold());
  return details;
}

/**
 * A table that sorts by a click on a column's head; rows without a value come last in both orders.
 *
 * @param {string} caption Its caption.
 * @param {Array<{key: string, label: string, number?: boolean, value: function(Object): (number|string|null),
 *   cell: function(Object): (Node|string), first?: "descending"}>} columns `first`: the order of the first click.
 * @param {{key: string, descending: boolean}} sorting
 * @param {function({key: string, descending: boolean}): void} onSort Called after a click.
 * @returns {{node: HTMLElement, show: function(Array<Object>): void}} The frame, and a function that shows rows.
 */
export function sortedTable(caption, columns, sorting, onSort) {
  let order = sorting;
  let shown = [];
  const drawn = new WeakMap(); // Sorting moves rows and makes none.
  const body = element("tbody");
  const heads = columns.map((column) => head(column));
  const node = frame(
    caption,
    element("table", {}, element("caption", {}, caption), element("thead", {}, element("tr", {}, heads)), body),
  );

  function head(column) {
    const sort = () => {
      const same = order.key === column.key;
      order = { key: column.key, descending: same ? !order.descending : column.first === "descending" };
      draw();
      onSort(order);
    };
    const attributes = { scope: "col", class: column.number ? "number" : null };
    return element("th", attributes, button(column.label, sort, { class: "sorts" }));
  }

  function draw() {
    const column = columns.find((one) => one.key === order.key) ?? columns[0];
    columns.forEach((one, index) => {
      if (one === column) heads[index].setAttribute("aria-sort", order.descending ? "descending" : "ascending");
      else heads[index].removeAttribute("aria-sort");
    });
    const rows = [...shown].sort(byValue(column.value, order.descending));
    fill(body, rows.map((row) => rowOf(row)));
  }

  function rowOf(row) {
    if (!drawn.has(row)) {
      const cells = columns.map((column, index) => cellOf(column.cell(row), column, index === 0));
      drawn.set(row, element("tr", { "data-id": row.id }, cells));
    }
    return drawn.get(row);
  }

  return { node, show: (rows) => ((shown = rows), draw()) };
}

function byValue(value, descending) {
  const { compare } = new Intl.Collator(language(), { numeric: true });
  const sign = descending ? -1 : 1;
  return (one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === null || a === undefined) return b === null || b === undefined ? 0 : 1;
    if (b === null || b === undefined) return -1;
    return sign * (typeof a === "number" && typeof b === "number" ? a - b : compare(String(a), String(b)));
  };
}

/**
 * Charts over years as SVG: lines with intervals, and bars. Each redraws at its own width, marks the map's year,
 * chooses one by click, and has a table below. In the chart, the arrow keys walk through the years, and a live region
 * speaks the values.
 */

import { announce, element, fill, svg } from "./dom.js";
import { known, number } from "./format.js";
import { foldedTable } from "./tables.js";
import { text } from "./texts.js";

const HEIGHT = 150;
const MARGIN = { top: 10, right: 10, bottom: 22, left: 46 };

/**
 * A chart with a line for each series.
 *
 * @param {Object} chart
 * @param {string} chart.title
 * @param {number[]} chart.years
 * @param {Array<{name: string, values: Array<number|null>, low?: Array<number|null>, high?: Array<number|null>,
 *   style?: number}>} chart.series Values by year, with their intervals. `style` numbers colour and dash, from 1.
 * @param {function(number|null): string} [chart.format] A value in the table and in speech.
 * @param {boolean} [chart.fromZero] Whether the axis starts at zero.
 * @param {number} [chart.year] The year marked.
 * @param {function(number): void} [chart.onYear] Called with a year chosen.
 * @returns {HTMLElement & {mark: function(number): void}} A figure; `mark` marks another year.
 */
export function lineChart({ series, fromZero = false, ...chart }) {
  const styled = series.map((one, index) => ({ style: index + 1, ...one }));
  const values = styled.flatMap((one) => [...one.values, ...(one.low ?? []), ...(one.high ?? [])]).filter(known);
  return yearFigure({
    ...chart,
    series: styled,
    range: axisRange(values, fromZero),
    key: (one) => svg("path", { d: "M1 5H28", class: `line series-${one.style} dash-${one.style}` }),
    draw: (scale) => styled.map((one) => [...bands(one, scale), ...curves(one, scale)]),
  });
}

/**
 * A chart with bars; those of a year stand on each other, negative values below zero.
 *
 * @param {Object} chart As for `lineChart`; `style` is a number or a name of base.css such as "gain".
 */
export function barChart({ series, ...chart }) {
  const styled = series.map((one, index) => ({ style: index + 1, ...one }));
  const sums = chart.years.flatMap((_, index) => {
    const values = styled.map((one) => one.values[index]).filter(known);
    return [true, false].map((up) => values.filter((value) => value > 0 === up).reduce((sum, value) => sum + value, 0));
  });
  return yearFigure({
    ...chart,
    series: styled,
    range: axisRange(sums, true),
    key: (one) => svg("rect", { x: 6, y: 0, width: 14, height: 11, class: `series-${one.style}` }),
    draw: (scale) => stacks(styled, chart.years, scale),
  });
}

function yearFigure({ title, years, series, range, key, draw, format = (value) => number(value), year, onYear }) {
  const state = { year, width: 0 };
  const picture = svg("svg", { height: HEIGHT, "aria-hidden": "true" });
  const frame = element(
    "div",
    { class: "chart-frame", tabindex: "0", role: "group", "aria-label": text("chart.help", { title }) },
    picture,
  );
  const columns = [{ label: text("chart.year") }, ...series.map((one) => ({ label: one.name, number: true }))];
  const rows = years.map((one, index) => [String(one), ...series.map((each) => cell(each, index, format))]);
  const keys = series.map((one) => element("li", {}, svg("svg", { viewBox: "0 0 28 10", "aria-hidden": "true" }, key(one)), one.name));
  const figure = element(
    "figure",
    { class: "chart" },
    element("figcaption", {}, title),
    frame,
    series.length > 1 ? element("ul", { class: "keys" }, keys) : null,
    foldedTable(text("chart.as_table"), title, columns, rows),
  );

  function redraw() {
    if (state.width < 40) return;
    const scale = scales(years, range, state.width);
    picture.setAttribute("viewBox", `0 0 ${state.width} ${HEIGHT}`);
    fill(picture, axes(years, range, scale), draw(scale), marker(state.year, scale), hits(years, scale, choose));
  }

  function choose(chosen, tell = false) {
    figure.mark(chosen);
    if (tell) announce(spoken(chosen, years, series, format));
    onYear?.(chosen);
  }

  frame.addEventListener("keydown", (event) => {
    const at = Math.max(0, years.indexOf(state.year));
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: years.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(years[Math.min(Math.max(to, 0), years.length - 1)], true);
  });
  new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (width === state.width) return;
    state.width = width;
    requestAnimationFrame(redraw);
  }).observe(frame);
  figure.mark = (marked) => ((state.year = marked), redraw());
  return figure;
}

function cell(one, index, format) {
  const value = format(one.values[index]);
  if (!known(one.low?.[index]) || !known(one.high?.[index])) return value;
  return text("chart.value_interval", { value, low: format(one.low[index]), high: format(one.high[index]) });
}

function spoken(year, years, series, format) {
  const index = years.indexOf(year);
  return [year, ...series.map((one) => `${one.name}: ${cell(one, index, format)}`)].join(", ");
}

/** The axis's ends and ticks, in round steps. */
function axisRange(values, fromZero) {
  let low = Math.min(...values, ...(fromZero ? [0] : []));
  let high = Math.max(...values, ...(fromZero ? [0] : []));
  if (!Number.isFinite(low)) [low, high] = [0, 1];
  if (low === high) [low, high] = fromZero && low === 0 ? [0, 1] : [low - Math.abs(low || 1) / 10, high + Math.abs(high || 1) / 10];
  const rough = (high - low) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  const ticks = Array.from({ length: last - first + 1 }, (_, index) => (first + index) * step);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) + (step / power === 2.5 ? 1 : 0);
  return { low: first * step, high: last * step, ticks, digits };
}

function scales(years, range, width) {
  const inner = width - MARGIN.left - MARGIN.right;
  const [first, last] = [years[0], years[years.length - 1]];
  const step = inner / Math.max(last - first + 1, 1);
  const y = (value) => MARGIN.top + (1 - (value - range.low) / (range.high - range.low)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  return { x: (year) => MARGIN.left + (year - first + 0.5) * step, y, step, width, years };
}

function axes(years, range, { x, y, step, width }) {
  const every = Math.ceil(40 / step);
  const last = years[years.length - 1];
  const labels = years.filter((year) => (last - year) % every === 0);
  return [
    range.ticks.map((value) => [
      svg("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value), class: Math.abs(value) < 1e-12 ? "axis" : "grid" }),
      svg("text", { x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end" }, number(value, range.digits)),
    ]),
    labels.map((year) => svg("text", { x: x(year), y: HEIGHT - 5, "text-anchor": "middle" }, year)),
  ];
}

function marker(year, { x, years }) {
  if (!years.includes(year)) return null;
  return svg("line", { x1: x(year), x2: x(year), y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, class: "marked" });
}

function hits(years, { x, step }, choose) {
  return years.map((year) => {
    const area = svg("rect", { x: x(year) - step / 2, y: 0, width: step, height: HEIGHT, class: "hit" });
    area.addEventListener("click", () => choose(year));
    return area;
  });
}

/** Runs of neighbouring years with values; a missing one is a gap. */
function runs(length, has) {
  const found = [];
  for (let index = 0; index < length; index += 1) {
    if (!has(index)) continue;
    if (index > 0 && has(index - 1)) found[found.length - 1].push(index);
    else found.push([index]);
  }
  return found;
}

function bands(one, { x, y, years }) {
  if (!one.low || !one.high) return [];
  const has = (index) => known(one.low[index]) && known(one.high[index]);
  return runs(one.values.length, has).map((run) => {
    const upper = run.map((index) => `${x(years[index])} ${y(one.high[index])}`);
    const lower = [...run].reverse().map((index) => `${x(years[index])} ${y(one.low[index])}`);
    return svg("path", { d: `M${[...upper, ...lower].join("L")}Z`, class: `band series-${one.style}` });
  });
}

function curves(one, { x, y, years }) {
  const has = (index) => known(one.values[index]);
  const lines = runs(one.values.length, has).map((run) => {
    const points = run.map((index) => `${x(years[index])} ${y(one.values[index])}`);
    return svg("path", { d: `M${points.join("L")}`, class: `line series-${one.style} dash-${one.style}` });
  });
  const dots = one.values.map((value, index) =>
    known(value) ? svg("circle", { cx: x(years[index]), cy: y(value), r: 2.8, class: `series-${one.style}` }) : null,
  );
  return [...lines, ...dots];
}

function stacks(series, years, { x, y, step }) {
  const width = Math.max(2, Math.min(step * 0.7, 34));
  return years.map((year, index) => {
    const tops = { up: 0, down: 0 };
    return series.map((one) => {
      const value = one.values[index];
      if (!known(value) || value === 0) return null;
      const side = value > 0 ? "up" : "down";
      const from = tops[side];
      tops[side] += value;
      const [top, bottom] = [y(Math.max(from, tops[side])), y(Math.min(from, tops[side]))];
      return svg("rect", { x: x(year) - width / 2, y: top, width, height: Math.max(bottom - top, 0.5), class: `series-${one.style}` });
    });
  });
}

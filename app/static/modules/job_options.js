/**
 * The options of a job. Only those that differ from the defaults are sent.
 */

import { element } from "./dom.js";
import { text } from "./texts.js";

const CHOICES = {
  smoothing: ["", "viterbi", "median", "none"],
  pairs: ["all", "consecutive", "first-last"],
  extent: ["intersection", "union"],
  level: ["", "l1c", "l2a"],
};
const NUMBERS = {
  threshold: { min: 0.01, max: 0.99, step: 0.01, value: 0.5 },
  minimum_mapping_unit: { min: 0, step: 0.1, value: 0 },
  scale: { step: "any" },
  offset: { step: "any" },
  nodata: { step: "any" },
};
const TEXTS = ["bands", "indices"];
const SWITCHES = ["keep_clouds", "override"];
const USUAL = ["smoothing", "pairs", "indices", "threshold", "minimum_mapping_unit"];
const FILES = ["bands", "scale", "offset", "nodata", "level", "extent", "keep_clouds", "override"];

/**
 * The controls.
 *
 * @returns {{node: HTMLElement, values: function(): Object, unfold: function(): void, fit: function(Object): void}} `values`
 *   gives the options that were chosen, `unfold` shows all of them, `fit` offers only what fits a model.
 */
export function jobOptions() {
  const boxes = new Map([...USUAL, ...FILES].map((name) => [name, boxOf(name)]));
  const group = (key, names) =>
    element(
      "details",
      {},
      element("summary", {}, text(key)),
      element("div", { class: "options" }, names.map((name) => labelled(name, boxes.get(name)))),
    );
  const groups = [group("jobs.options", USUAL), group("jobs.file_options", FILES)];
  return { node: element("div", {}, groups), values, unfold: () => groups.forEach((one) => (one.open = true)), fit };

  function fit(model) {
    const box = boxes.get("smoothing");
    const names = CHOICES.smoothing.filter((name) => name === "" || model.smoothings.includes(name));
    const kept = names.includes(box.value) ? box.value : "";
    box.replaceChildren(...choicesOf(names));
    box.value = kept;
  }

  function values() {
    const given = {};
    for (const [name, box] of boxes) {
      if (SWITCHES.includes(name)) {
        if (box.checked) given[name] = true;
      } else if (box.value.trim() !== "") {
        given[name] = name in NUMBERS ? Number(box.value) : box.value.trim();
      }
    }
    return given;
  }
}

function choicesOf(values) {
  return values.map((value) => element("option", { value }, text(`jobs.choice.${value || "default"}`)));
}

function boxOf(name) {
  const attributes = { "aria-describedby": `option-${name}` };
  if (name in CHOICES) {
    return element("select", attributes, choicesOf(CHOICES[name]));
  }
  if (name in NUMBERS) return element("input", { type: "number", ...attributes, ...NUMBERS[name] });
  if (TEXTS.includes(name)) return element("input", { type: "text", maxlength: 500, ...attributes });
  return element("input", { type: "checkbox", ...attributes });
}

function labelled(name, box) {
  const help = element("span", { class: "small quiet", id: `option-${name}` }, text(`jobs.option_help.${name}`));
  const label = element("span", {}, text(`jobs.option.${name}`));
  const kind = SWITCHES.includes(name) ? "check" : "stacked";
  const parts = kind === "check" ? [box, label] : [label, box];
  return element("div", {}, element("label", { class: kind }, parts), help);
}

/**
 * Elements without markup: every text becomes a text node, so that no name of a site is ever read as HTML.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An HTML element.
 *
 * @param {string} tag Its name.
 * @param {Object} [attributes] Attributes; `on` holds listeners by event. A value of `true` gives an empty attribute,
 *   `false`, `null` and `undefined` give none.
 * @param {...(Node|string|number|null|Array)} children Children; strings and numbers become text, null is left out.
 * @returns {HTMLElement}
 */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An SVG element; see `element`. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  append(node, children);
  return node;
}

/** Add children to a node; null and false are left out. */
export function append(node, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
}

/** Replace a node's children. */
export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children);
  return node;
}

/** A button that submits nothing. */
export function button(label, onClick, attributes = {}) {
  return element("button", { type: "button", on: { click: onClick }, ...attributes }, label);
}

/**
 * A labelled select.
 *
 * @param {string} label Its label, visible before it.
 * @param {Array<[string, string]>} options Values and their labels.
 * @param {string} value The value selected.
 * @param {function(string): void} onChange Called with the new value.
 * @returns {HTMLElement} A label that holds the select.
 */
export function select(label, options, value, onChange, attributes = {}) {
  const box = element(
    "select",
    { on: { change: () => onChange(box.value) }, ...attributes },
    options.map(([key, words]) => element("option", { value: key, selected: key === value }, words)),
  );
  return element("label", { class: "field" }, element("span", {}, label), box);
}

/** A labelled checkbox; see `select`. */
export function checkbox(label, checked, onChange, attributes = {}) {
  const box = element("input", { type: "checkbox", checked, on: { change: () => onChange(box.checked) }, ...attributes });
  return element("label", { class: "check" }, box, element("span", {}, label));
}

/** A sentence for those who need to know that something failed. */
export function problem(sentence) {
  return element("p", { class: "problem", role: "alert" }, sentence);
}

/** Tell screen readers a sentence; the last one wins. */
export function announce(sentence) {
  const live = document.getElementById("live");
  if (live.textContent !== sentence) live.textContent = sentence;
}

/** Whether the visitor asked for less motion. */
export function reducedMotion() {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches;
}

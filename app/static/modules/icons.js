/**
 * Icons as paths of 16 x 16: a font need not have them.
 */

import { svg } from "./dom.js";

const PATHS = {
  play: "M4 2.5v11l9-5.5z",
  pause: "M4 2.5h3v11H4zM9 2.5h3v11H9z",
  fit: "M2 6V2h4v1.6H3.6V6zM10 2h4v4h-1.6V3.6H10zM2 10h1.6v2.4H6V14H2zM12.4 10H14v4h-4v-1.6h2.4z",
  link: "M6.5 11.5 5 13a2.1 2.1 0 0 1-3-3l3-3a2.1 2.1 0 0 1 3 0l-.9.9a.9.9 0 0 0-1.2 0l-3 3A.9.9 0 0 0 4.1 12.1l1.5-1.5zM9.5 4.5 11 3a2.1 2.1 0 0 1 3 3l-3 3a2.1 2.1 0 0 1-3 0l.9-.9a.9.9 0 0 0 1.2 0l3-3A.9.9 0 0 0 11.9 3.9l-1.5 1.5z",
  print: "M4 1.5h8V5H4zM2 6h12v6h-2V9.5H4V12H2zM5 10.5h6v4H5z",
  theme: "M8 1.5a6.5 6.5 0 1 0 0 13zM8 1.5v1.5a5 5 0 0 1 0 10v1.5a6.5 6.5 0 0 0 0-13z",
};

/** An icon, hidden from screen readers: its button has a name. */
export function icon(name) {
  return svg("svg", { viewBox: "0 0 16 16", width: 16, height: 16, class: "icon", "aria-hidden": "true" }, svg("path", { d: PATHS[name] }));
}

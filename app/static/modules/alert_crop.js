/**
 * A part of a picture with an outline on it, as SVG: the picture of a whole site serves every alert in it.
 */

import { svg } from "./dom.js";

const WIDTH = 10_000; // Of the whole picture in units of the drawing.
const LEAST_METRES = 700;
const EQUATOR_METRES = 40_075_017;

/**
 * The surroundings of an outline on a picture.
 *
 * @param {string} address The picture, in Web Mercator.
 * @param {[number, number, number, number]} bounds Its west, south, east and north in degrees.
 * @param {Object} geometry GeoJSON polygon or multipolygon in degrees.
 * @param {string} alternative The picture in words.
 * @returns {SVGElement}
 */
export function crop(address, [west, south, east, north], geometry, alternative) {
  const scale = WIDTH / (mercator(east, north)[0] - mercator(west, north)[0]);
  const [left, top] = mercator(west, north);
  const place = ([longitude, latitude]) => {
    const [x, y] = mercator(longitude, latitude);
    return [(x - left) * scale, (y - top) * scale];
  };
  const height = place([west, south])[1];
  const rings = ringsOf(geometry).map((ring) => ring.map(place));
  const metres = EQUATOR_METRES * Math.cos(((north + south) / 2) * (Math.PI / 180));
  const side = frameSide(rings, (LEAST_METRES / metres) * scale, Math.min(WIDTH, height));
  const [x, y] = middle(rings).map((value) => value - side / 2);
  const path = rings.map((ring) => `M${ring.map(([a, b]) => `${a.toFixed(1)},${b.toFixed(1)}`).join("L")}Z`).join("");
  return svg(
    "svg",
    { class: "alert-crop", viewBox: [x, y, side, side].map((value) => value.toFixed(1)).join(" "), role: "img", "aria-label": alternative },
    svg("image", { href: address, width: WIDTH, height, preserveAspectRatio: "none" }),
    svg("path", { d: path, class: "alert-outline", "vector-effect": "non-scaling-stroke" }),
  );
}

/** Web Mercator as shares of the world's width, from its north-western corner. */
function mercator(longitude, latitude) {
  const sine = Math.sin((latitude * Math.PI) / 180);
  return [longitude / 360 + 0.5, 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI)];
}

function ringsOf({ type, coordinates, geometries }) {
  if (type === "Polygon") return coordinates;
  if (type === "MultiPolygon") return coordinates.flat();
  if (type === "GeometryCollection") return geometries.flatMap(ringsOf);
  return [];
}

function extent(rings) {
  const points = rings.flat();
  return [0, 1].map((axis) => {
    const values = points.map((point) => point[axis]);
    return [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  });
}

function middle(rings) {
  return extent(rings).map(([low, high]) => (low + high) / 2);
}

function frameSide(rings, least, most) {
  const sides = extent(rings).map(([low, high]) => high - low);
  return Math.min(Math.max(1.6 * Math.max(...sides), least), Math.max(most, ...sides));
}

/**
 * A layer's picture of a year on the map: one picture of the whole site, or tiles where it is large.
 *
 * Pictures are kept in the page, so that going back to a year asks the server for nothing.
 */

import { send, siteUrl } from "./api.js";
import { pairOf } from "./site_state.js";

const MOST_PICTURES = 48;
// Pixels on the longer side of a picture for the first view, a third of the bytes of the whole one.
const FIRST_SIDE = 1024;
const SHARP_ENOUGH = 1.25;
let isClose = false;
const addresses = new Map();

/**
 * The picture's address in this page.
 *
 * @param {string} url Its address on the server.
 * @returns {Promise<string>} An object URL; its picture is decoded.
 */
export function keptPicture(url) {
  const held = addresses.get(url);
  if (held) {
    addresses.delete(url); // Moved to the end: the first one is the longest unused.
    addresses.set(url, held);
    return held;
  }
  const loaded = loadPicture(url);
  addresses.set(url, loaded);
  loaded.catch(() => addresses.delete(url));
  if (addresses.size > MOST_PICTURES) {
    const [oldest, address] = addresses.entries().next().value;
    addresses.delete(oldest);
    address.then(URL.revokeObjectURL, () => {});
  }
  return loaded;
}

async function loadPicture(url) {
  const address = URL.createObjectURL(await (await send(url)).blob());
  const image = new Image();
  image.src = address;
  await image.decode();
  return address;
}

/**
 * The year of a layer that belongs to a year of the slider.
 *
 * @param {Object} layer A layer of /api/sites/{id}.
 * @param {number} year
 * @param {number|null} compare The other year, of which pictures of changes have need.
 * @returns {string|null} As in the layer's `years`; null where the layer has no such year.
 */
export function layerYear(layer, year, compare) {
  const years = layer.years.map(String);
  if (years.includes("all")) return "all";
  if (years.includes(String(year))) return String(year);
  const pair = pairOf({ year, compare })?.join("-");
  return pair && years.includes(pair) ? pair : null;
}

/**
 * The picture that stands for a layer in a year: of an image that is missing, the quicklook.
 *
 * @param {Object} site The answer of /api/sites/{id}.
 * @param {string} key The layer's key, or "none".
 * @param {number} year
 * @param {number|null} compare As for `layerYear`.
 * @returns {{layer: Object|null, year: string|null}}
 */
export function pictureOf({ layers }, key, year, compare) {
  const layer = layers.find((one) => one.key === key) ?? null;
  if (!layer) return { layer, year: null };
  const found = layerYear(layer, year, compare);
  const quicklook = layers.find((one) => one.key === "quicklook");
  if (found === null && layer.kind === "image" && quicklook?.years.includes(year)) return { layer: quicklook, year: String(year) };
  return { layer, year: found };
}

/** The address of a layer's picture of a year, in few pixels until the map comes close. */
export function pictureUrl(id, layer, year) {
  const side = isClose || Math.max(...(layer.size ?? [0])) <= FIRST_SIDE ? "" : `?side=${FIRST_SIDE}`;
  return `${siteUrl(id, "pictures", layer.key, year)}.${layer.format}${side}`;
}

/** Leaflet's bounds for [west, south, east, north]. */
export function leafletBounds([west, south, east, north]) {
  return [
    [south, west > east ? west - 360 : west], // Across the antimeridian.
    [north, east],
  ];
}

/**
 * Load a picture ahead of its use; a failure shows when it is used.
 *
 * @returns {Promise<void>} Fulfilled when it is there, or cannot be loaded.
 */
export async function preload(site, key, year, compare) {
  const wanted = pictureOf(site, key, year, compare);
  if (!wanted.layer?.picture || !wanted.year) return;
  await keptPicture(pictureUrl(site.id, wanted.layer, wanted.year)).catch(() => {});
}

/** A pane of the map that shows one picture at a time. */
export class PicturePane {
  /**
   * @param {L.Map} map
   * @param {string} id The site.
   * @param {string} pane The name of the pane, which exists.
   */
  constructor(map, id, pane) {
    this.map = map;
    this.id = id;
    this.pane = pane;
    this.shown = null;
    this.key = "";
    this.turn = 0;
    this.wanted = [null, null];
    isClose = false;
    map.on("zoomend", () => this.#sharpen());
  }

  /**
   * Show a layer's picture of a year; the one before stays until it is ready.
   *
   * @param {Object|null} layer A layer of /api/sites/{id}, or null for nothing.
   * @param {string|null} year As `layerYear` gives it.
   * @throws {ApiError} The picture cannot be loaded.
   */
  async show(layer, year) {
    this.wanted = [layer, year];
    if (layer) isClose ||= this.#comesClose(layer);
    const key = layer && year ? this.#keyOf(layer, year) : "";
    if (key === this.key) return;
    this.key = key;
    const turn = (this.turn += 1);
    try {
      const next = key ? await this.#layer(layer, year) : null;
      if (turn === this.turn) this.#replace(next);
    } catch (error) {
      if (turn !== this.turn) return;
      this.key = "";
      this.#replace(null);
      throw error;
    }
  }

  /** Tiles are the same at every scale; a picture has one address in few pixels and one in all. */
  #keyOf(layer, year) {
    return layer.picture ? pictureUrl(this.id, layer, year) : `${layer.key}/${year}`;
  }

  #comesClose(layer) {
    const [first, second] = leafletBounds(layer.bounds).map((corner) => this.map.project(corner));
    const side = Math.max(Math.abs(first.x - second.x), Math.abs(first.y - second.y));
    return side * window.devicePixelRatio > SHARP_ENOUGH * FIRST_SIDE;
  }

  /** Replace the picture of the first view where the map has come closer. */
  #sharpen() {
    const [layer, year] = this.wanted;
    // Where that fails, the next choice of a year or layer shows why.
    if (layer?.picture && this.key) this.show(layer, year).catch(() => {});
  }

  async #layer(layer, year) {
    const bounds = leafletBounds(layer.bounds);
    const className = layer.kind === "image" ? "picture" : "picture map-of-classes";
    if (layer.picture) {
      return L.imageOverlay(await keptPicture(pictureUrl(this.id, layer, year)), bounds, { pane: this.pane, className });
    }
    const template = `${siteUrl(this.id, "tiles", layer.key, year)}/{z}/{x}/{y}.${layer.format}`;
    return L.tileLayer(template, { pane: this.pane, bounds, className, maxNativeZoom: layer.max_zoom, maxZoom: 22, noWrap: true });
  }

  #replace(next) {
    const before = this.shown;
    this.shown = next;
    next?.addTo(this.map);
    if (!before) return;
    // Tiles arrive one by one: those of the year before stay below until all are there.
    if (next instanceof L.TileLayer) next.once("load", () => before.remove());
    else if (next) requestAnimationFrame(() => before.remove());
    else before.remove();
  }
}

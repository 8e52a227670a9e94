/**
 * Drawing an area on a map, with a pointer or with the keyboard: Enter sets a corner at the map's centre.
 */

import { announce, button, element } from "./dom.js";
import { countText, text } from "./texts.js";

const STYLE = { pane: "drawing", color: "#ffffff", weight: 2, dashArray: "5 4", fillColor: "#000000", fillOpacity: 0.12, interactive: false };

/**
 * Start drawing.
 *
 * @param {HTMLElement} frame The map's frame, which gets a bar with buttons.
 * @param {Object} siteMap See site_map.js; its `onPoint` is taken until the end.
 * @param {function(Array<[number, number]>|null): void} onEnd Called with corners (longitude, latitude), or with null
 *   when the visitor gives up.
 * @returns {function(): void} Gives up.
 */
export function drawArea(frame, siteMap, onEnd) {
  const { map } = siteMap;
  const corners = [];
  const shape = L.polygon([], STYLE).addTo(map);
  const finish = button(text("draw.finish"), () => end(corners), { class: "primary", disabled: true });
  const undo = button(text("draw.undo"), takeBack, { disabled: true });
  const bar = element(
    "div",
    { class: "draw-bar", role: "group", "aria-label": text("draw.title") },
    element("span", {}, text("draw.help")),
    finish,
    undo,
    button(text("draw.cancel"), () => end(null)),
  );
  frame.append(bar);
  frame.classList.add("drawing");
  map.doubleClickZoom.disable();
  siteMap.onPoint = ({ lat, lng }) => {
    const last = corners.at(-1);
    if (last && last[0] === lng && last[1] === lat) return; // The second click of a double click.
    corners.push([lng, lat]);
    redraw();
  };
  map.on("dblclick", finishByPointer);
  frame.addEventListener("keydown", byKey);
  map.getContainer().focus({ preventScroll: true });
  announce(text("draw.help"));

  function redraw() {
    shape.setLatLngs(corners.map(([longitude, latitude]) => [latitude, longitude]));
    finish.disabled = corners.length < 3;
    undo.disabled = corners.length === 0;
    announce(countText("draw.corners", corners.length));
  }

  function takeBack() {
    corners.pop();
    redraw();
  }

  function finishByPointer() {
    if (corners.length >= 3) end(corners);
  }

  function byKey(event) {
    if (event.key === "Escape") end(null);
    else if (event.key === "Backspace" && event.target === map.getContainer()) takeBack();
    else return;
    event.preventDefault();
  }

  function end(found) {
    siteMap.onPoint = null;
    map.off("dblclick", finishByPointer);
    map.doubleClickZoom.enable();
    frame.removeEventListener("keydown", byKey);
    frame.classList.remove("drawing");
    bar.remove();
    shape.remove();
    onEnd(found);
  }
  return () => end(null);
}

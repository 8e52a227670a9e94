/**
 * The swipe: a divider over the map, left of which one year shows and right of which the other does.
 */

import { element } from "./dom.js";
import { percent } from "./format.js";
import { text } from "./texts.js";

/**
 * A divider.
 *
 * @param {L.Map} map
 * @param {{left: string[], right: string[]}} panes Names of the panes clipped at each side, vectors included.
 * @param {function(number): void} onMove Called with the share of the map left of it.
 * @returns {{show: function(boolean, number, number, number): void}} `show(on, split, left year, right year)`.
 */
export function createSwipe(map, panes, onMove) {
  const state = { on: false, split: 0.5, left: 0, right: 0 };
  const handle = element("span", { class: "swipe-handle", "aria-hidden": "true" }, "⇔");
  const divider = element(
    "div",
    {
      class: "swipe",
      role: "slider",
      tabindex: "0",
      "aria-orientation": "horizontal",
      "aria-valuemin": "0",
      "aria-valuemax": "100",
      hidden: true,
      on: { keydown: byKey, pointerdown: grab },
    },
    handle,
  );
  map.getContainer().append(divider);
  L.DomEvent.disableClickPropagation(divider);
  map.on("move zoom resize viewreset zoomend", clip);

  function clip() {
    const size = map.getSize();
    const at = Math.round(size.x * state.split);
    divider.style.left = `${at}px`;
    // Panes move with the map: the clip is given in their own coordinates.
    const [top, bottom] = [map.containerPointToLayerPoint([0, 0]), map.containerPointToLayerPoint(size)];
    const middle = map.containerPointToLayerPoint([at, 0]).x;
    const box = (from, to) => `polygon(${from}px ${top.y}px, ${to}px ${top.y}px, ${to}px ${bottom.y}px, ${from}px ${bottom.y}px)`;
    const set = (names, path) => names.forEach((name) => (map.getPane(name).style.clipPath = state.on ? path : ""));
    set(panes.left, box(top.x, middle));
    set(panes.right, box(middle, bottom.x));
  }

  function move(split) {
    state.split = Math.min(Math.max(split, 0), 1);
    describe();
    clip();
    onMove(state.split);
  }

  function describe() {
    divider.setAttribute("aria-label", text("swipe.label", { left: state.left, right: state.right }));
    divider.setAttribute("aria-valuenow", String(Math.round(state.split * 100)));
    divider.setAttribute("aria-valuetext", text("swipe.value", { left: state.left, share: percent(state.split) }));
  }

  function byKey(event) {
    const step = event.shiftKey ? 0.1 : 0.02;
    const to = {
      ArrowLeft: state.split - step,
      ArrowDown: state.split - step,
      ArrowRight: state.split + step,
      ArrowUp: state.split + step,
      PageDown: state.split - 0.1,
      PageUp: state.split + 0.1,
      Home: 0,
      End: 1,
    }[event.key];
    event.stopPropagation(); // The map would move as well.
    if (to === undefined) return;
    event.preventDefault();
    move(to);
  }

  function grab(event) {
    event.preventDefault();
    divider.focus({ preventScroll: true });
    divider.setPointerCapture(event.pointerId);
    const drag = (moved) => {
      const box = map.getContainer().getBoundingClientRect();
      move((moved.clientX - box.left) / box.width);
    };
    const release = () => divider.removeEventListener("pointermove", drag);
    divider.addEventListener("pointermove", drag);
    divider.addEventListener("pointerup", release, { once: true });
    divider.addEventListener("pointercancel", release, { once: true });
  }

  return {
    show(on, split, left, right) {
      Object.assign(state, { on, split, left, right });
      divider.hidden = !on;
      describe();
      clip();
    },
  };
}

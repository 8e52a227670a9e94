/**
 * A site: its map with controls, and panels beside it. The address holds all that is shown.
 */

import { announce, button, element, fill } from "./dom.js";
import { icon } from "./icons.js";
import { readings } from "./point_area.js";
import { sitePath } from "./router.js";
import { siteControls } from "./site_controls.js";
import { createSiteMap } from "./site_map.js";
import { sitePanels } from "./site_panels.js";
import { createStore, missingYears, parametersOf, stateFrom } from "./site_state.js";
import { useColours } from "./site_vectors.js";
import { text } from "./texts.js";

const WRITING = 250;

/**
 * Show a site.
 *
 * @param {HTMLElement} root
 * @param {Object} parameters `id`, and those of site_state.js.
 * @param {Object} context See main.js.
 * @returns {Promise<function(): void>} Cleans up.
 * @throws {ApiError} There is no such site, or it cannot be read.
 */
export async function show(root, parameters, context) {
  const site = await context.api.siteFacts(parameters.id);
  useColours(context.portfolio.colours);
  const store = createStore(stateFrom(parameters, site));
  const frame = element("section", { class: "site-map-frame", "aria-label": text("site.map", { site: site.name }) });
  const controls = siteControls(site, store);
  const column = element("div", { class: "site-map-column" }, frame, controls.node);
  const panel = element("section", { class: "site-panel", "aria-label": text("site.panel", { site: site.name }) });
  fill(root, column, panel);
  const siteMap = createSiteMap(frame, site, store, context, missingYears(parameters, site));
  addMapButtons(siteMap);
  const reading = readings(frame, siteMap, site, store);
  fill(panel, sitePanels(site, store, context, { point: reading.node }));

  const address = keepAddress(site, store, context);
  const resized = new ResizeObserver(() => siteMap.map.invalidateSize({ animate: false }));
  resized.observe(frame);
  await siteMap.ready;
  return () => {
    address.stop();
    controls.remove();
    resized.disconnect();
    reading.remove();
    siteMap.remove();
  };
}

/** Write the state into the address, though not at each step of a drag: browsers refuse too many. */
function keepAddress(site, store, context) {
  let timer = null;
  const write = () => {
    timer = null;
    context.navigate(sitePath(site.id), parametersOf(store.state), { replace: true });
    context.title(text("site.window", { site: site.name, year: store.state.year ?? "" }));
  };
  write();
  store.listen((state, changed) => {
    timer ??= window.setTimeout(write, WRITING);
    if (changed.has("year")) announce(text("site.year_shown", { year: state.year }));
  });
  return { stop: () => window.clearTimeout(timer) };
}

function addMapButtons(siteMap) {
  const control = L.control({ position: "topleft" });
  const tell = (shown) => announce(text(shown));
  const copy = async () => {
    // The address is written with a delay; a link has to be complete at once.
    await new Promise((resolve) => window.setTimeout(resolve, WRITING + 50));
    try {
      await navigator.clipboard.writeText(window.location.href);
      tell("map.link_copied");
    } catch {
      window.prompt(text("map.link"), window.location.href);
    }
  };
  control.onAdd = () => {
    const node = element(
      "div",
      { class: "leaflet-bar home no-print" },
      button(icon("fit"), siteMap.home, { title: text("map.home"), "aria-label": text("map.home") }),
      button(icon("link"), copy, { title: text("map.copy_link"), "aria-label": text("map.copy_link") }),
      button(icon("print"), () => window.print(), { title: text("map.print"), "aria-label": text("map.print") }),
    );
    L.DomEvent.disableClickPropagation(node);
    return node;
  };
  control.addTo(siteMap.map);
}

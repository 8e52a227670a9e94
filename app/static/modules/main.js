/**
 * The start of the page: texts, portfolio, header, and the view that the address asks for.
 *
 * A view is a module with `show(root, parameters, context)`, which fills `root` and returns a function that cleans up
 * (timers, maps, listeners outside `root`), or nothing. `parameters` are strings from the address, with the site's
 * `id` where there is one. `context` holds `api` (api.js), `texts` (texts.js), `portfolio` (the answer of
 * /api/portfolio), `navigate` (router.js), `title(words)` for the window's title and `refresh()`, which asks for the
 * portfolio again and updates the header.
 */

import * as api from "./api.js";
import { announce, button, element, fill, problem, select } from "./dom.js";
import { icon } from "./icons.js";
import { navigate, parseRoute, routeHash, sitePath } from "./router.js";
import * as texts from "./texts.js";

const { text, countText } = texts;
const THEME = "euromine.theme";
const VIEWS = {
  portfolio: () => import("./portfolio.js"),
  site: () => import("./site.js"),
  report: () => import("./report.js"),
  alerts: () => import("./alerts.js"),
  jobs: () => import("./jobs.js"),
};

const page = { portfolio: null, cleanUp: null, visit: 0, lastSite: null };

async function start() {
  applyTheme(texts.stored(THEME));
  const route = parseRoute(window.location.hash);
  // Fetched beside the texts; visit() shows an error, if there is one.
  VIEWS[route.view]?.().catch(() => {});
  if (route.view === "site") api.siteFacts(route.parameters.id).catch(() => {});
  const portfolio = api.get("api/portfolio");
  portfolio.catch(() => {});
  try {
    await texts.useLanguage(texts.preferredLanguage());
    page.portfolio = await portfolio;
  } catch (error) {
    fill(document.getElementById("content"), problem(error.message));
    return;
  }
  window.addEventListener("hashchange", () => visit({ focus: true }));
  window.addEventListener("beforeprint", openDetails);
  await visit();
}

/** Show the view of the address. */
async function visit({ focus = false } = {}) {
  if (window.location.hash === "#content") return; // The skip link.
  const visit = (page.visit += 1);
  const route = parseRoute(window.location.hash);
  if (route.parameters.id) page.lastSite = route.parameters.id;
  drawHeader(route);
  const root = element("div", { class: `view ${route.view}-view` });
  const content = document.getElementById("content");
  page.cleanUp?.();
  page.cleanUp = null;
  content.setAttribute("aria-busy", "true");
  fill(content, root);
  title(text(`nav.${route.view}`));
  try {
    const cleanUp = await shown(route, root);
    if (visit === page.visit) page.cleanUp = cleanUp;
    else cleanUp?.();
  } catch (error) {
    if (!(error instanceof api.ApiError)) console.error(error);
    if (visit === page.visit) fill(root, problem(error.message));
  }
  if (visit !== page.visit) return;
  content.removeAttribute("aria-busy");
  if (focus) content.focus({ preventScroll: true });
  if (focus) announce(document.title);
}

async function shown(route, root) {
  if (!(route.view in VIEWS)) {
    fill(root, problem(text("error.no_view")), element("p", {}, element("a", { href: "#/" }, text("nav.all_sites"))));
    return null;
  }
  const view = await api.moduleOf(VIEWS[route.view]());
  const context = { api, texts, portfolio: page.portfolio, navigate, title, refresh };
  return view.show(root, route.parameters, context);
}

function title(words) {
  document.title = words ? `${words} · ${page.portfolio.title}` : page.portfolio.title;
}

async function refresh() {
  api.forget("api/sites");
  page.portfolio = await api.get("api/portfolio");
  drawHeader(parseRoute(window.location.hash));
  return page.portfolio;
}

function drawHeader(route) {
  const { portfolio } = page;
  const skip = document.getElementById("skip");
  skip.textContent = text("nav.skip");
  const id = route.parameters.id;
  fill(
    document.getElementById("header"),
    element("a", { class: "brand", href: "#/" }, portfolio.title),
    siteSelect(route),
    element("nav", { "aria-label": text("nav.views") }, element("ul", {}, links(route, id).map((link) => element("li", {}, link)))),
    element("div", { class: "switches" }, signedIn(), languageSelect(), themeButton()),
  );
}

function siteSelect(route) {
  const options = page.portfolio.sites.map((site) => [site.id, site.name]);
  const go = (id) => {
    if (!id) navigate("/");
    else if (route.view === "report") navigate(sitePath(id, "report"));
    else navigate(sitePath(id));
  };
  return select(text("nav.site"), [["", text("nav.all_sites")], ...options], route.parameters.id ?? "", go, {
    class: "site-select",
  });
}

function links(route, id) {
  const { features, watch, sites } = page.portfolio;
  const site = id ?? sites.find((one) => one.id === page.lastSite)?.id ?? sites[0]?.id;
  const found = [link("map", ["portfolio", "site"], routeHash(id ? sitePath(id) : "/"), route)];
  if (watch) found.push(link("alerts", ["alerts"], "#/alerts", route, watch.open_alerts));
  if (site) found.push(link("report", ["report"], routeHash(sitePath(site, "report")), route));
  if (features.uploads) found.push(link("jobs", ["jobs"], "#/jobs", route));
  return found;
}

function link(name, views, href, route, count = 0) {
  const badge = count
    ? element("span", { class: "badge" }, count, element("span", { class: "visually-hidden" }, ` ${countText("nav.open_alerts", count)}`))
    : null;
  return element("a", { href, "aria-current": views.includes(route.view) ? "page" : null }, text(`nav.${name}`), badge);
}

function signedIn() {
  const { features, user } = page.portfolio;
  if (features.sign_in && !user) return element("a", { href: "sign-in" }, text("nav.sign_in"));
  if (!features.sign_out) return null;
  const signOut = async () => {
    await api.send("sign-out", { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
    window.location.reload();
  };
  return button(text("nav.sign_out", { user: user ?? "" }), signOut);
}

function languageSelect() {
  const change = async (wanted) => {
    texts.rememberLanguage(wanted);
    await texts.useLanguage(wanted);
    await visit();
  };
  return select(text("nav.language"), Object.entries(texts.LANGUAGES), texts.language(), change, { class: "language" });
}

function themeButton() {
  const dark = () =>
    document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark"
      : window.matchMedia("(prefers-color-scheme: dark)").matches;
  const change = () => {
    const theme = dark() ? "light" : "dark";
    texts.store(THEME, theme);
    applyTheme(theme);
    toggle.setAttribute("aria-pressed", String(dark()));
  };
  const toggle = button(icon("theme"), change, {
    class: "theme",
    "aria-label": text("nav.dark"),
    title: text("nav.dark"),
    "aria-pressed": String(dark()),
  });
  return toggle;
}

function applyTheme(theme) {
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
}

/** Tables below charts are folded on the screen, and belong on paper. */
function openDetails() {
  for (const details of document.querySelectorAll("details.as-table")) details.unfold?.();
}

start();

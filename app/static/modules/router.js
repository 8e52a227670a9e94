/**
 * Routes in the address's fragment: every view can be linked to, and the server sees none of it.
 */

/**
 * A route from a fragment such as `#/sites/Germany_1?year=2019`.
 *
 * @param {string} hash The fragment, with or without its `#`.
 * @returns {{view: string, parameters: Object<string, string>}} `view`: portfolio, site, report, alerts, jobs or
 *   missing. `parameters`: the site's `id`, and those behind the question mark.
 */
export function parseRoute(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split(/\?(.*)/s);
  const parameters = Object.fromEntries(new URLSearchParams(query));
  const parts = path.split("/").filter(Boolean).map(decoded);
  if (parts.length === 0) return { view: "portfolio", parameters };
  if (parts[0] === "sites" && parts.length === 2) return { view: "site", parameters: { ...parameters, id: parts[1] } };
  if (parts[0] === "sites" && parts.length === 3 && parts[2] === "report") {
    return { view: "report", parameters: { ...parameters, id: parts[1] } };
  }
  if (parts.length === 1 && ["alerts", "jobs"].includes(parts[0])) return { view: parts[0], parameters };
  return { view: "missing", parameters };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * A fragment for a path and its parameters; empty parameters are left out.
 *
 * @param {string} path Such as `/sites/Germany_1`; its parts must be encoded (`sitePath`).
 * @param {Object} [parameters]
 * @returns {string}
 */
export function routeHash(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  // Commas and slashes are allowed in a fragment, and links stay legible with them.
  const query = given
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value).replace(/%2C/g, ",")}`)
    .join("&");
  return `#${path}${query ? `?${query}` : ""}`;
}

/** The path of a site, or of its report. */
export function sitePath(id, ...parts) {
  return `/${["sites", id, ...parts].map(encodeURIComponent).join("/")}`;
}

/**
 * Go to a route.
 *
 * @param {string} path As for `routeHash`.
 * @param {Object} [parameters]
 * @param {{replace?: boolean}} [options] `replace`: only the address changes; the view is not built anew, and the
 *   browser's Back button skips it. A view calls this to keep its own state in the address.
 */
export function navigate(path, parameters = {}, { replace = false } = {}) {
  const hash = routeHash(path, parameters);
  if (!replace) {
    window.location.hash = hash;
  } else if (window.location.hash !== hash) {
    window.history.replaceState(null, "", hash);
  }
}

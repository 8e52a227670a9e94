/**
 * Requests to the server. Addresses are relative to the page, so that the app also works below a proxy's prefix.
 */

import { language, text } from "./texts.js";

/** A request that failed, with a sentence to show. */
export class ApiError extends Error {
  /**
   * @param {string} message A sentence.
   * @param {number} status The HTTP status; 0 where there was no answer.
   */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/**
 * A module of the page, fetched when it is needed.
 *
 * @param {Promise<Object>} fetched From `import`.
 * @throws {ApiError} The server does not answer.
 */
export async function moduleOf(fetched) {
  try {
    return await fetched;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    console.error(error);
    throw new ApiError(text("error.no_answer"), 0);
  }
}

const kept = new Map();
const MOST_KEPT = 200;
const MOST_REPEATS = 2;

/**
 * The address of something of a site.
 *
 * @param {string} id The site.
 * @param {...(string|number)} parts Parts of the path, each encoded.
 */
export function siteUrl(id, ...parts) {
  return ["api/sites", ...[id, ...parts].map(encodeURIComponent)].join("/");
}

/**
 * The address of an answer with sentences in the visitor's language.
 *
 * @param {string} path Address relative to the page, without a query.
 */
export function worded(path) {
  return language() === "en" ? path : `${path}?lang=${language()}`;
}

/** The facts of a site, asked for once in each language. */
export function siteFacts(id) {
  return getOnce(worded(siteUrl(id)));
}

/**
 * JSON from the server.
 *
 * @param {string} path Address relative to the page.
 * @param {{signal?: AbortSignal}} [options]
 * @throws {ApiError} The server refuses, fails or does not answer.
 */
export async function get(path, options = {}) {
  return (await send(path, options)).json();
}

/**
 * JSON that is asked for once in the life of the page.
 *
 * @param {string} path Address relative to the page.
 */
export function getOnce(path) {
  if (!kept.has(path)) {
    if (kept.size >= MOST_KEPT) kept.delete(kept.keys().next().value);
    const answer = get(path);
    kept.set(path, answer);
    answer.catch(() => kept.delete(path));
  }
  return kept.get(path);
}

/** Forget the answers of `getOnce` below an address. */
export function forget(prefix = "") {
  for (const path of [...kept.keys()]) if (path.startsWith(prefix)) kept.delete(path);
}

/** Send JSON, and read JSON back. */
export async function post(path, body, options = {}) {
  const answer = await send(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    ...options,
  });
  return answer.json();
}

/**
 * Any request.
 *
 * @param {string} path Address relative to the page.
 * @param {RequestInit} [options] As for `fetch`.
 * @returns {Promise<Response>} A successful answer.
 * @throws {ApiError} The server refuses, fails or does not answer.
 */
export async function send(path, options = {}) {
  let answer = await answerTo(path, options);
  // A busy server names the time to come back. Requests that change something are not repeated.
  for (let again = 0; answer.status === 503 && !options.method && again < MOST_REPEATS; again += 1) {
    await pause(Number(answer.headers.get("Retry-After")) || 1);
    answer = await answerTo(path, options);
  }
  if (answer.ok) return answer;
  // A session has ended: signing in leads back to this view, which the fragment holds.
  if (answer.status === 401) window.location.assign(`sign-in${window.location.hash}`);
  throw new ApiError(await sentence(answer), answer.status);
}

async function answerTo(path, options) {
  try {
    return await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(text("error.no_answer"), 0);
  }
}

function pause(seconds) {
  return new Promise((resolve) => window.setTimeout(resolve, 1000 * Math.min(seconds, 10)));
}

async function sentence(answer) {
  try {
    const body = await answer.json();
    if (typeof body.error === "string") return body.error;
  } catch {
    // A proxy's page, perhaps: the status has to do.
  }
  return text("error.status", { status: answer.status });
}

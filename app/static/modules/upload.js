/**
 * Uploads with their progress, which `fetch` does not tell.
 */

import { ApiError } from "./api.js";
import { text } from "./texts.js";

/**
 * Send a form with files.
 *
 * @param {string} path Address relative to the page.
 * @param {FormData} body
 * @param {function(number): void} onProgress Called with the share that was sent, 0 to 1.
 * @returns {{answer: Promise<Object>, cancel: function(): void}} The JSON of the answer; an `ApiError` where the server
 *   refuses, does not answer, or the upload was cancelled.
 */
export function sendForm(path, body, onProgress) {
  const request = new XMLHttpRequest();
  const answer = new Promise((resolve, reject) => {
    request.upload.addEventListener("progress", (event) => event.lengthComputable && onProgress(event.loaded / event.total));
    request.addEventListener("load", () => {
      if (request.status >= 200 && request.status < 300) resolve(request.response);
      else reject(new ApiError(request.response?.error ?? text("error.status", { status: request.status }), request.status));
    });
    request.addEventListener("error", () => reject(new ApiError(text("error.no_answer"), 0)));
    request.addEventListener("abort", () => reject(new ApiError(text("jobs.upload_cancelled"), 0)));
  });
  request.open("POST", path);
  request.responseType = "json";
  request.send(body);
  return { answer, cancel: () => request.abort() };
}

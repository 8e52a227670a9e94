/**
 * A visitor's own images: an upload of GeoTIFFs of several years, and the jobs that map them.
 */

import { announce, button, element, fill, problem } from "./dom.js";
import { bytes, moment, percent } from "./format.js";
import { jobOptions } from "./job_options.js";
import { routeHash, sitePath } from "./router.js";
import { text } from "./texts.js";
import { sendForm } from "./upload.js";
import { withYears, yearProblem } from "./upload_years.js";

const POLL = 2000;
const ACTIVE = ["waiting", "running"];

/** The view: `#/jobs`. */
export async function show(root, parameters, context) {
  if (!context.portfolio.features.uploads) {
    fill(root, element("div", { class: "page" }, element("h1", {}, text("jobs.title")), element("p", { class: "note" }, text("jobs.closed"))));
    return null;
  }
  const { models, limits } = await context.api.get("api/models");
  const list = jobList(context);
  fill(
    root,
    element(
      "div",
      { class: "page" },
      element("h1", {}, text("jobs.title")),
      models.length ? uploadForm(models, limits, list.refresh) : element("p", { class: "note" }, text("jobs.no_model")),
      element("h2", {}, text("jobs.list")),
      list.node,
    ),
  );
  await list.refresh();
  return list.stop;
}

function uploadForm(models, limits, onSent) {
  let files = [];
  const chosen = element("div", { class: "upload-files" });
  const messages = element("div", { "aria-live": "polite" });
  const picker = element("input", {
    type: "file",
    id: "upload-picker",
    multiple: true,
    accept: ".tif,.tiff,image/tiff",
    on: { change: () => (add([...picker.files]), (picker.value = "")) },
  });
  const name = element("input", { type: "text", required: true, maxlength: 80, "aria-describedby": "upload-name-help" });
  const fit = () => options.fit(models.find((one) => one.id === model.value));
  const model = element("select", { on: { change: fit } }, models.map((one) => element("option", { value: one.id }, modelText(one))));
  const options = jobOptions();
  fit();
  const send = element("button", { type: "submit", class: "primary", disabled: true }, text("jobs.start"));
  const form = element(
    "form",
    { class: "upload-form", on: { submit: (event) => (event.preventDefault(), submit()) } },
    element(
      "div",
      { class: "drop", on: { dragover, dragleave, drop } },
      element("label", { for: "upload-picker" }, text("jobs.choose")),
      picker,
      element("p", { class: "small quiet" }, limits?.files ? text("jobs.limits", { files: limits.files, size: bytes(limits.file_bytes) }) : ""),
    ),
    chosen,
    element("label", { class: "stacked" }, element("span", {}, text("jobs.name")), name),
    element("p", { class: "small quiet", id: "upload-name-help" }, text("jobs.name_help")),
    element("label", { class: "stacked" }, element("span", {}, text("jobs.model")), model),
    options.node,
    element("div", { class: "buttons" }, send),
    messages,
  );

  function dragover(event) {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    event.currentTarget.classList.add("over");
  }
  function dragleave(event) {
    event.currentTarget.classList.remove("over");
  }
  function drop(event) {
    event.preventDefault();
    event.currentTarget.classList.remove("over");
    add([...event.dataTransfer.files]);
  }

  function add(found) {
    const images = found.filter((file) => /\.tiff?$/i.test(file.name));
    const others = found.length - images.length;
    fill(messages, others ? problem(text("jobs.not_geotiff")) : null);
    files = withYears(files, images);
    draw();
    announce(text("jobs.files_chosen", { count: files.length }));
  }

  function draw() {
    send.disabled = files.length === 0;
    if (files.length === 0) return fill(chosen);
    const rows = files.map((entry) => {
      const year = element("input", {
        type: "number",
        min: 1980,
        max: 2100,
        required: true,
        value: entry.year ?? "",
        "aria-label": text("jobs.year_of", { file: entry.file.name }),
        on: { input: () => (entry.year = year.value ? Number(year.value) : null) },
      });
      const drop = () => {
        files = files.filter((one) => one !== entry);
        draw();
        picker.focus();
      };
      return element(
        "tr",
        {},
        element("th", { scope: "row" }, entry.file.name),
        element("td", {}, year),
        element("td", { class: "number" }, bytes(entry.file.size)),
        element("td", {}, button(text("jobs.remove"), drop, { "aria-label": text("jobs.remove_file", { file: entry.file.name }) })),
      );
    });
    const heads = ["file", "year", "size"].map((key) => element("th", { scope: "col", class: key === "size" ? "number" : null }, text(`jobs.${key}`)));
    return fill(
      chosen,
      element(
        "table",
        {},
        element("caption", { class: "visually-hidden" }, text("jobs.files")),
        element("thead", {}, element("tr", {}, heads, element("td", {}))),
        element("tbody", {}, rows),
      ),
    );
  }

  async function submit() {
    const wrong = yearProblem(files);
    if (wrong) return fill(messages, problem(text(wrong.key, wrong.values)));
    const body = new FormData();
    for (const { file } of files) body.append("files", file, file.name);
    for (const { year } of files) body.append("years", String(year));
    body.append("model", model.value);
    body.append("name", name.value.trim());
    body.append("options", JSON.stringify(options.values()));
    const bar = element("progress", { max: 1, value: 0, "aria-label": text("jobs.uploading") });
    const upload = sendForm("api/jobs", body, (share) => (bar.value = share));
    fill(messages, element("p", { class: "uploading" }, text("jobs.uploading"), " ", bar, " ", button(text("jobs.cancel"), upload.cancel)));
    send.disabled = true;
    try {
      await upload.answer;
      files = [];
      name.value = "";
      draw();
      fill(messages, element("p", {}, text("jobs.sent")));
      await onSent();
    } catch (error) {
      if (error.status === undefined) throw error;
      fill(messages, problem(error.message));
      // The sentence names an option, such as bands, that its reader has to find.
      if (/\boptions?\b/.test(error.message)) options.unfold();
      send.disabled = false;
    }
    return null;
  }

  return form;
}

function modelText({ id, architecture, bands, level, simulated }) {
  const facts = [
    architecture === id ? null : architecture,
    bands ? text("jobs.bands", { count: bands.length }) : null,
    level,
    simulated ? text("jobs.simulated_model") : null,
  ].filter(Boolean);
  return facts.length ? `${id} (${facts.join(", ")})` : id;
}

/** The jobs, asked for again while one is at work. */
function jobList(context) {
  const node = element("div", { class: "job-list" });
  let timer = null;
  let isStopped = false;
  let states = new Map();

  async function refresh() {
    window.clearTimeout(timer);
    let jobs;
    try {
      ({ jobs } = await context.api.get("api/jobs"));
    } catch (error) {
      if (!(error instanceof context.api.ApiError)) throw error;
      if (!isStopped) fill(node, problem(error.message), button(text("jobs.again"), refresh));
      return;
    }
    if (isStopped) return;
    await tell(jobs);
    draw(jobs);
    if (jobs.some(({ state }) => ACTIVE.includes(state))) timer = window.setTimeout(refresh, POLL);
  }

  /** A finished job adds a site to the header's list. */
  async function tell(jobs) {
    const ended = jobs.filter((job) => ACTIVE.includes(states.get(job.id)) && !ACTIVE.includes(job.state));
    states = new Map(jobs.map((job) => [job.id, job.state]));
    for (const job of ended) announce(`${job.name}: ${text(`jobs.state.${job.state}`)}`);
    if (ended.some(({ state }) => state === "done")) await context.refresh();
  }

  function draw(jobs) {
    const focused = document.activeElement?.dataset?.job;
    if (jobs.length === 0) return fill(node, element("p", { class: "quiet" }, text("jobs.none")));
    fill(node, element("ul", {}, jobs.map((job) => listed(job))));
    if (focused) node.querySelector(`[data-job="${CSS.escape(focused)}"]`)?.focus();
    return node;
  }

  function listed(job) {
    const isActive = ACTIVE.includes(job.state);
    const remove = async () => {
      try {
        await context.api.send(`api/jobs/${encodeURIComponent(job.id)}`, { method: "DELETE" });
      } catch (error) {
        if (!(error instanceof context.api.ApiError)) throw error;
        fill(answer, problem(error.message));
        return;
      }
      await refresh();
    };
    const answer = element("div");
    const label = text(isActive ? "jobs.cancel_job" : "jobs.remove_job", { job: job.name });
    return element(
      "li",
      { class: `job state-${job.state}` },
      element("strong", {}, job.site ? element("a", { href: routeHash(sitePath(job.site)) }, job.name) : job.name),
      element("span", { class: "mark" }, text(`jobs.state.${job.state}`)),
      job.created ? element("span", { class: "quiet small" }, moment(createdOf(job))) : null,
      job.state === "running"
        ? element("span", { class: "job-progress" }, element("progress", { max: 1, value: job.progress ?? 0, "aria-label": job.name }), ` ${percent(job.progress ?? 0)} `, job.step ? element("span", { class: "quiet small", lang: "en" }, job.step) : element("span", { class: "quiet small" }, text("jobs.starting")))
        : null,
      job.error ? element("p", { class: "problem", lang: "en" }, job.error) : null,
      isActive || job.state !== "done" ? button(text(isActive ? "jobs.cancel" : "jobs.remove"), remove, { "aria-label": label, "data-job": job.id }) : null,
      answer,
    );
  }

  const stop = () => {
    isStopped = true;
    window.clearTimeout(timer);
  };
  return { node, refresh, stop };
}

/** Seconds since 1970 as ISO 8601; other times are that already. */
function createdOf({ created }) {
  return typeof created === "number" ? new Date(created * 1000).toISOString() : created;
}

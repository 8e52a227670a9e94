/**
 * The report of a site: title, notes and a choice of sections beside a preview, as a page, a PDF or a Word document.
 * The draft stays in the browser.
 */

import { save } from "./csv.js";
import { announce, button, element, fill, problem } from "./dom.js";
import { draftOf, keepDraft, moved } from "./report_draft.js";
import { hasText, language, text } from "./texts.js";

const FORMATS = ["pdf", "docx", "html"];
const PREVIEW = "report-preview";

/** The view: `#/sites/ID/report`. */
export async function show(root, { id }, context) {
  const { get, siteFacts, siteUrl } = context.api;
  const [site, { sections }] = await Promise.all([siteFacts(id), get("api/report/sections")]);
  context.title(text("report.window", { site: site.name }));
  const draft = draftOf(id, sections);
  const messages = element("div", { "aria-live": "polite" });
  const frame = element("iframe", {
    name: PREVIEW,
    title: text("report.preview"),
    // No script runs in it; with its origin this page can read whether the server refused.
    sandbox: "allow-same-origin",
    class: "report-frame",
  });
  const address = (format) => `${siteUrl(id, "report")}?format=${format}`;

  function change(values) {
    Object.assign(draft, values);
    keepDraft(id, draft);
  }

  async function preview() {
    fill(messages);
    frame.setAttribute("aria-busy", "true");
    submitTo(PREVIEW, address("html"), body(draft));
  }

  frame.addEventListener("load", () => {
    frame.removeAttribute("aria-busy");
    const refusal = refusalIn(frame);
    frame.hidden = refusal !== null;
    if (refusal !== null) fill(messages, problem(refusal));
    else if (frame.contentDocument?.URL !== "about:blank") announce(text("report.preview_ready"));
  });

  async function download(format, pressed) {
    pressed.disabled = true;
    fill(messages, element("p", { class: "quiet" }, text("report.writing")));
    try {
      const answer = await context.api.send(address(format), {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body(draft)),
      });
      save(`${id}_report.${format}`, await answer.blob());
      fill(messages);
      announce(text("report.saved"));
    } catch (error) {
      if (!(error instanceof context.api.ApiError)) throw error;
      fill(messages, problem(error.message));
    } finally {
      pressed.disabled = false;
    }
  }

  const formats = FORMATS.map((format) => {
    const one = button(text(`report.${format}`), () => download(format, one));
    return one;
  });
  const form = element(
    "form",
    { class: "report-form no-print", on: { submit: (event) => (event.preventDefault(), preview()) } },
    element("h1", {}, text("report.title", { site: site.name })),
    site.simulated ? element("p", { class: "note" }, text("report.simulated")) : null,
    language() === "en" ? null : element("p", { class: "small quiet" }, text("report.in_english")),
    line("heading", draft.title, (title) => change({ title }), { placeholder: site.name }),
    line("author", draft.author, (author) => change({ author }), { autocomplete: "name" }),
    line("organisation", draft.organisation, (organisation) => change({ organisation }), { autocomplete: "organization" }),
    sectionList(sections, draft, change),
    element(
      "div",
      { class: "report-actions" },
      element("div", { class: "buttons" }, element("button", { type: "submit", class: "primary" }, text("report.update")), formats),
      messages,
      element("p", { class: "small quiet" }, text("report.kept"), " ", button(text("report.reset"), reset, { class: "link-button" })),
    ),
  );

  function reset() {
    if (!window.confirm(text("report.reset_question"))) return;
    keepDraft(id, null);
    show(root, { id }, context);
  }

  fill(root, form, element("section", { class: "report-preview", "aria-label": text("report.preview") }, frame));
  preview();
  return null;
}

function line(name, value, onInput, attributes = {}) {
  const box = element("input", { type: "text", maxlength: 200, value, on: { input: () => onInput(box.value) }, ...attributes });
  return element("label", { class: "stacked" }, element("span", {}, text(`report.${name}`)), box);
}

/** The body of a request: only fields that the visitor filled in, and the sections chosen. */
function body(draft) {
  const chosen = draft.order.filter((name) => draft.chosen[name]);
  const notes = Object.fromEntries(Object.entries(draft.notes).filter(([name, note]) => note.trim() && (chosen.includes(name) || name === "introduction")));
  return { title: draft.title.trim(), author: draft.author.trim(), organisation: draft.organisation.trim(), sections: chosen, notes };
}

/** A form into the frame, as a page made from a request's answer would take over this page's policy on styles. */
function submitTo(target, action, values) {
  const form = element(
    "form",
    { method: "post", action, target, hidden: true },
    element("input", { type: "hidden", name: "report", value: JSON.stringify(values) }),
  );
  document.body.append(form);
  form.submit();
  form.remove();
}

/** The sentence of a refused preview; null for a report. */
function refusalIn(frame) {
  const page = frame.contentDocument;
  if (!page || page.contentType !== "application/json") return null;
  try {
    return JSON.parse(page.body.textContent).error ?? text("report.failed");
  } catch {
    return text("report.failed");
  }
}

function sectionTitle(section) {
  const key = `report.section.${section.name}`;
  return hasText(key) ? text(key) : section.title;
}

/** Sections to choose, to order by buttons, Alt and arrow keys or dragging, and to comment on. */
function sectionList(sections, draft, change) {
  const list = element("ol", { class: "report-sections" });
  const titles = new Map(sections.map((section) => [section.name, sectionTitle(section)]));
  let dragged = null;

  function draw() {
    fill(list, draft.order.map((name, place) => item(name, place)));
  }

  function move(name, by) {
    const order = moved(draft.order, name, by);
    if (order === draft.order) return;
    change({ order });
    draw();
    const row = list.querySelector(`[data-name="${CSS.escape(name)}"]`);
    const wanted = row.querySelector(by < 0 ? ".up" : ".down");
    (wanted.disabled ? row.querySelector(by < 0 ? ".down" : ".up") : wanted).focus();
    announce(text("report.moved", { section: titles.get(name), place: order.indexOf(name) + 1, places: order.length }));
  }

  function item(name, place) {
    const title = titles.get(name);
    const box = element("input", {
      type: "checkbox",
      checked: draft.chosen[name],
      on: { change: () => change({ chosen: { ...draft.chosen, [name]: box.checked } }) },
    });
    const arrow = (by, sign, key, disabled) =>
      button(element("span", { "aria-hidden": "true" }, sign), () => move(name, by), {
        class: by < 0 ? "up" : "down",
        disabled,
        "aria-label": text(key, { section: title }),
        title: text(key, { section: title }),
      });
    const row = element(
      "li",
      {
        "data-name": name,
        draggable: "true",
        on: {
          dragstart: (event) => {
            // Text in a note stays selectable.
            if (event.target !== row) return;
            dragged = name;
            event.dataTransfer.effectAllowed = "move";
          },
          dragover: (event) => dragged && event.preventDefault(),
          drop: (event) => {
            if (!dragged) return;
            event.preventDefault();
            move(dragged, draft.order.indexOf(name) - draft.order.indexOf(dragged));
            dragged = null;
          },
          dragend: () => (dragged = null),
          keydown: (event) => {
            const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
            if (!by || !event.altKey) return;
            event.preventDefault();
            move(name, by);
          },
        },
      },
      element("label", { class: "check" }, box, element("span", {}, title)),
      element("span", { class: "moves" }, arrow(-1, "↑", "report.up", place === 0), arrow(1, "↓", "report.down", place === draft.order.length - 1)),
      note(name, text("report.note", { section: title }), draft, change),
    );
    return row;
  }

  draw();
  return element(
    "fieldset",
    {},
    element("legend", {}, text("report.sections")),
    note("introduction", text("report.introduction"), draft, change),
    element("p", { class: "small quiet" }, text("report.order_help")),
    list,
  );
}

function note(name, label, draft, change) {
  const area = element("textarea", {
    rows: 4,
    "aria-label": label,
    maxlength: 20_000,
    on: { input: () => change({ notes: { ...draft.notes, [name]: area.value } }) },
  });
  area.value = draft.notes[name] ?? "";
  return element("details", { open: area.value !== "" }, element("summary", { class: "small" }, label), area);
}

// The tabs of a run. Each takes the server's answer, and the live state of a run in progress, and returns nodes.

import { pairs } from "./columns.js";
import { h } from "./dom.js";
import * as format from "./format.js";
import { t } from "./texts.js";
import { barsOf, waterfall } from "./waterfall.js";

const section = (title, ...content) => h("section", {}, h("h2", {}, title), content);
const notLogged = () => h("p", { class: "muted" }, t("textsOff"));
const textBlock = (text) => (text ? h("pre", { class: "text", tabindex: "0" }, text) : notLogged());
const code = (text) => h("pre", { class: "code", tabindex: "0" }, text);
const json = (body) => (body === null ? notLogged() : code(format.pretty(body)));
const rows = (list) => h("dl", { class: "rows" }, list.filter(([, content]) => content && content !== format.NONE).map(([name, content]) => h("div", {}, h("dt", {}, name), h("dd", {}, content))));
const table = (label, className, head, body) => h("div", { class: "table", tabindex: "0", role: "group", "aria-label": label }, h("table", { class: className }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)));
const th = (name, more = {}) => h("th", { scope: "col", ...more }, name);

// Question and answer; `view` renders the answer.
export function exchange({ run, texts }, live, view) {
  const inProgress = run.status === "processing";
  const answer = inProgress ? live?.text ?? "" : texts.answer, reasoning = inProgress ? live?.reasoning : texts.reasoning;
  const nothing = inProgress ? t("noAnswerYet") : texts.answer === null && run.characters ? t("textsOff") : t("noAnswer");
  return [
    section(t("question"), textBlock(texts.question ?? run.question)),
    texts.attachments?.length && section(t("attachments"), attachmentTable(texts.attachments)),
    reasoning && h("details", { class: "fold" }, h("summary", {}, t("reasoning")), h("div", { class: "prose" }, reasoning)),
    section(t("answer"), answer ? view(answer, inProgress) : h("p", { class: "muted" }, nothing)),
  ];
}

// The log has no content.
const attachmentTable = (attachments) => table(t("attachments"), "plain", [th(t("name")), th(t("kindOf")), th(t("sizeOf"), { class: "number" })],
  attachments.map(({ type, name, size }) => h("tr", {}, h("th", { scope: "row" }, name ?? t("noName")), h("td", {}, t(`a_${type}`)), h("td", { class: "number" }, size === null ? t("byAddress") : format.bytes(size)))));

export function request({ run, texts }) {
  return [
    texts.prompt && section(t("prompt"), textBlock(texts.prompt)),
    rows(pairs("request", run)),
    section(t("body"), texts.request_body ? code(format.prettyText(texts.request_body)) : notLogged()),
  ];
}

export function response({ run, texts }) {
  return [
    rows(pairs("response", run)),
    texts.upstream?.length && section(t("upstream"), texts.upstream.map((attempt, index) => h("details", { class: "fold" },
      h("summary", {}, t("attempt", { n: index + 1, provider: attempt.provider, model: attempt.model }), h("span", { class: "muted" }, ` ${format.duration(attempt.seconds)}`), attempt.trouble && h("span", { class: "bad" }, ` ${attempt.trouble}`)),
      rows([["URL", attempt.url]]), h("h3", {}, t("sent")), json(attempt.request), h("h3", {}, t("received")), json(attempt.response)))),
    texts.raw !== null && section(t("raw"), json(texts.raw)),
  ];
}

export function http({ run, texts }) {
  const headers = (title, list) => section(title, list?.length ? table(title, "plain", [th(t("name")), th(t("value"))],
    list.map(([name, content]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, content)))) : h("p", { class: "muted" }, t("noHeaders")));
  return [
    rows(pairs("http", run)),
    headers(t("requestHeaders"), texts.request_headers),
    headers(t("responseHeaders"), texts.response_headers),
    section(t("delivery"), rows(pairs("delivery", run))),
  ];
}

const KINDS = new Set(["started", "reported", "reasoned", "text", "input", "asked", "called", "answered", "failed"]);

export function timing({ run, texts, now }, live) {
  const steps = texts.steps ?? [], bars = barsOf({ ...run, started_at: run.started_at ?? live?.startedAt ?? null }, steps, now, live?.status === "queued");
  if (!bars.length) return [h("p", { class: "muted" }, t("noTiming"))];
  const details = (step) => [step.text, step.fraction === undefined || step.fraction === null ? "" : `${Math.round(step.fraction * 100)}%`, step.characters ? t("nCharacters", { n: format.number(step.characters) }) : "", step.seconds ? t("lasted", { s: format.duration(step.seconds) }) : ""].filter(Boolean).join(" · ");
  return [
    section(t("waterfall"), waterfall(bars, run.accepted_at)),
    rows(pairs("timing", run)),
    steps.length ? section(t("steps"), table(t("steps"), "plain steps", [th(t("after"), { class: "number" }), th(t("step")), th(t("value"))],
      steps.map((step) => h("tr", {}, h("td", { class: "number" }, format.duration(Math.max(0, step.at - run.accepted_at))), h("td", {}, KINDS.has(step.kind) ? t(`k_${step.kind}`) : step.kind), h("td", {}, details(step)))))) : null,
  ];
}

export function cost({ run }) {
  const all = run.input_tokens + run.output_tokens;
  return [
    rows([...pairs("cost", run), [t("allTokens"), format.number(all)], [t("tokenPace"), run.output_tokens && run.processing ? (run.output_tokens / run.processing).toFixed(1) : null], [t("price"), run.cost === null || !all ? null : format.money((run.cost / all) * 1e6)]]),
    run.cost === null && h("p", { class: "muted" }, t("noPrice")),
  ];
}

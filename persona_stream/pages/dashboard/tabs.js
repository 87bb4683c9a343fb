// The tabs of a run. Each takes what is kept of it, and what is only known while it is in progress, and gives nodes.

import { h } from "./dom.js";
import * as format from "./format.js";
import { pill } from "./pills.js";
import { t } from "./texts.js";
import { barsOf, waterfall } from "./waterfall.js";

const section = (title, ...content) => h("section", {}, h("h2", {}, title), content);
const kept = (text) => (text ? h("pre", { class: "text", tabindex: "0" }, text) : h("p", { class: "muted" }, t("textsOff")));
const code = (text) => h("pre", { class: "code", tabindex: "0" }, text);
const rows = (pairs) => h("dl", { class: "rows" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value ?? format.NONE))));

export function request({ run, texts }) {
  return [
    section(t("question"), kept(texts.question ?? run.question)),
    texts.prompt && section(t("prompt"), kept(texts.prompt)),
    rows([[t("persona"), run.username], [t("caller"), run.owner], [t("conversation"), h("a", { href: `#/runs?conversation=${encodeURIComponent(run.conversation_id)}` }, run.conversation_id)],
      [t("endpoint"), run.endpoint], [t("dialect"), run.dialect], [t("style"), run.style], [t("backend"), run.backend]]),
    section(t("body"), texts.request_body ? code(format.prettyText(texts.request_body)) : h("p", { class: "muted" }, t("textsOff"))),
  ];
}

export function response({ run, texts }, live) {
  const goesOn = run.status === "processing";
  const answer = goesOn ? live?.text ?? "" : texts.answer, thoughts = goesOn ? live?.reasoning : texts.reasoning;
  const nothing = goesOn ? t("noAnswerYet") : texts.answer === null && run.characters ? t("textsOff") : t("noAnswer");
  return [
    texts.error && h("div", { class: "notice" }, h("b", {}, t("wentWrong")), h("p", {}, texts.error), run.code && h("p", { class: "muted small" }, `${t("code")}: ${run.code}`)),
    thoughts && h("details", { class: "fold" }, h("summary", {}, t("reasoning")), h("div", { class: "prose" }, thoughts)),
    section(t("answer"), answer ? h("div", { class: `prose answer${goesOn ? " writing" : ""}`, id: "answer" }, answer) : h("p", { class: "muted" }, nothing)),
    !goesOn && rows([[t("status"), pill(run.status, run.code)], [t("finish"), run.finish], [t("characters"), format.number(run.characters)]]),
    texts.upstream?.length && section(t("upstream"), texts.upstream.map((one, index) => h("details", { class: "fold" },
      h("summary", {}, t("tryNumber", { n: index + 1, provider: one.provider, model: one.model }), h("span", { class: "muted" }, ` ${format.duration(one.seconds)}`), one.trouble && h("span", { class: "bad" }, ` ${one.trouble}`)),
      rows([["URL", one.url]]), h("h3", {}, t("sent")), one.request === null ? h("p", { class: "muted" }, t("textsOff")) : code(format.pretty(one.request)), h("h3", {}, t("received")), one.response === null ? h("p", { class: "muted" }, t("textsOff")) : code(format.pretty(one.response))))),
    texts.raw !== null && section(t("raw"), code(format.pretty(texts.raw))),
  ];
}

export function http({ run, texts }) {
  const headers = (title, pairs) => section(title, pairs?.length ? h("div", { class: "table", tabindex: "0", role: "group", "aria-label": title }, h("table", { class: "plain" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("name")), h("th", { scope: "col" }, t("value")))),
    h("tbody", {}, pairs.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value)))))) : h("p", { class: "muted" }, t("noHeaders")));
  return [
    rows([[t("request"), `${run.method} ${run.endpoint}`], [t("status"), run.http_status], [t("address"), run.address || null], [t("agent"), run.user_agent || null]]),
    headers(t("requestHeaders"), texts.request_headers),
    headers(t("responseHeaders"), texts.response_headers),
    section(t("delivered"), rows([[t("readers"), format.number(run.readers)], [t("resumes"), format.number(run.resumes)], [t("events"), format.number(run.events)], [t("pieces"), format.number(run.pieces)], [t("bytes"), format.number(run.sent_bytes)]])),
  ];
}

export function timing({ run, texts, now }, live) {
  const steps = texts.steps ?? [], bars = barsOf({ ...run, started_at: run.started_at ?? live?.startedAt ?? null }, steps, now, live?.status === "queued");
  if (!bars.length) return [h("p", { class: "muted" }, t("noTiming"))];
  const numbers = [["waiting", run.waiting], ["processingStage", run.processing], ["firstEvent", run.ttfe], ["firstText", run.ttft], ["delivery", run.delivery], ["total", run.total], ["tpot", run.tpot]];
  const named = (kind) => (`k_${kind}` in KINDS ? t(`k_${kind}`) : kind);
  return [
    section(t("waterfall"), waterfall(bars, run.accepted_at)),
    rows(numbers.map(([key, value]) => [t(key), format.duration(value)])),
    steps.length ? section(t("steps"), h("div", { class: "table", tabindex: "0", role: "group", "aria-label": t("steps") }, h("table", { class: "plain steps" }, h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "number" }, t("after")), h("th", { scope: "col" }, t("step")), h("th", { scope: "col" }, t("value")))),
      h("tbody", {}, steps.map((step) => h("tr", {}, h("td", { class: "number" }, format.duration(Math.max(0, step.at - run.accepted_at))), h("td", {}, named(step.kind)),
        h("td", {}, [step.text, step.fraction === undefined || step.fraction === null ? "" : `${Math.round(step.fraction * 100)}%`, step.characters ? t("nCharacters", { n: format.number(step.characters) }) : "", step.seconds ? t("lasted", { s: format.duration(step.seconds) }) : ""].filter(Boolean).join(" · ")))))))) : null,
  ];
}
const KINDS = { k_started: 1, k_reported: 1, k_reasoned: 1, k_text: 1, k_asked: 1, k_answered: 1, k_failed: 1 };

export function cost({ run }) {
  if (run.output_tokens === null) return [h("p", { class: "muted" }, t("noTokens"))];
  const all = run.input_tokens + run.output_tokens;
  return [
    rows([[t("provider"), run.provider], [t("model"), run.model], [t("inputTokens"), format.number(run.input_tokens)], [t("outputTokens"), format.number(run.output_tokens)], [t("allTokens"), format.number(all)],
      [t("origin"), run.tokens_estimated ? t("byUs") : t("byProvider")],
      [t("price"), run.cost === null || !all ? null : format.money((run.cost / all) * 1e6)], [t("cost"), h("b", {}, format.money(run.cost))]]),
    run.cost === null && h("p", { class: "muted" }, t("noPrice")),
  ];
}

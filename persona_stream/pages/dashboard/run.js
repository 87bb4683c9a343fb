// One run: its tabs, and while it is in progress, its live stream.

import * as api from "./api.js";
import { announce, h, icon } from "./dom.js";
import { listed, title, tokens, value } from "./columns.js";
import * as format from "./format.js";
import { follow } from "./live.js";
import { confirmDeletion } from "./forget.js";
import { pill } from "./pills.js";
import { MarkdownView } from "../../assets/markdown.js";
import { cost, exchange, http, request, response, timing } from "./tabs.js";
import { t } from "./texts.js";

const TABS = { exchange, request, response, http, timing, cost };
const RELOAD_MS = 1500;
const ELSEWHERE = new Set(["run_id", "status", "question", "endpoint"]);  // in the title, and on the first tab

export function openRun({ main, showError }, id, wanted) {
  let shown = null, live = null, stop = null, closed = false, timer = 0;
  let tab = wanted in TABS ? wanted : null;
  const head = h("div", { class: "run-head" });
  const answer = h("div", { class: "prose answer", id: "answer" });
  const markdown = new MarkdownView(answer, { copyLabel: t("copy"), copy: copyText });
  let written = "";               // the text in the view, which only grows
  const tabs = h("div", { class: "tabs", role: "tablist", "aria-label": t("tabs") }, Object.keys(TABS).map((name) =>
    h("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel", onclick: () => choose(name), onkeydown: walk }, t(name))));
  const panel = h("div", { role: "tabpanel", id: "panel", tabindex: "0" });
  const conversation = h("section", { class: "conversation" });
  main.replaceChildren(h("p", { class: "muted", role: "status" }, t("loading")));

  async function load() {
    try { shown = await api.run(id); } catch (error) { if (!closed) showError(error, () => openRun({ main, showError }, id, tab)); return; }
    if (closed) return;
    const { run, events_url: address } = shown;
    const inProgress = run.status === "processing";
    tab ??= "exchange";
    if (!tabs.isConnected) main.replaceChildren(h("a", { class: "backlink", href: "#/runs" }, icon("back"), t("back")), head, tabs, panel, conversation);
    drawHead();
    if (tab === "cost" && run.output_tokens === null) tab = "exchange";
    choose(tab, false);
    showConversation();
    if (inProgress && address && !stop) stop = follow(address, update, ended);
    else if (inProgress) timer = setTimeout(load, RELOAD_MS);  // it runs in another process, or its end is about to be logged
  }

  function update(state) {
    live = state;
    if (live.elapsed && live.status !== "queued") live.startedAt ??= Math.max(shown.run.accepted_at, shown.now - live.elapsed);
    if (tab === "exchange") choose(tab, false);
    drawLive();
  }

  function ended(status) {
    if (status) announce(t(status === "complete" || status === "timeout" || status === "cancelled" ? status : "error"));
    timer = setTimeout(load, 500);
  }

  function drawHead() {
    const { run } = shown;
    const copy = h("button", { type: "button", class: "button quiet small", onclick: () => copyText(run.run_id, copy.lastChild) }, icon("copy"), h("span", {}, t("copy")));
    const cancel = run.status === "processing" ? h("button", { type: "button", class: "button", id: "cancel", onclick: async () => {
      cancel.disabled = true;
      cancel.textContent = t("cancelling");
      try { await api.cancel(id); } catch (error) { if (!closed) showError(error, load); }
    } }, t("cancel")) : null;
    const special = {
      owner: () => h("a", { href: `#/runs?user=${encodeURIComponent(run.owner)}` }, run.owner),
      total: () => h("span", { id: "elapsed" }, format.duration(run.total)),
      output_tokens: tokens,
    };
    const facts = listed(ELSEWHERE).map((column) => [title(column), special[column.name]?.(run) ?? value(column, run)])
      .filter(([, content]) => content !== format.NONE && !(content instanceof Node && content.textContent === format.NONE));
    const menu = h("details", { class: "menu" }, h("summary", { class: "button quiet", "aria-label": t("moreActions"), title: t("moreActions") }, icon("more")),
      h("div", { class: "menu-items" }, h("button", { type: "button", class: "button quiet bad", id: "forget", onclick: () => { menu.open = false; confirmDeletion(run.owner, () => { location.hash = "#/runs"; }); } }, t("forget", { name: run.owner }))));
    tabs.querySelector("#tab-cost").hidden = run.output_tokens === null;
    head.replaceChildren(...[
      h("div", { class: "run-title" }, pill(run.status, run.code), h("h1", {}, run.question || t("notKept"))),
      h("div", { class: "run-id" }, h("span", { class: "muted" }, t("run")), h("code", {}, run.run_id), copy, h("span", { class: "spacer" }), cancel, menu),
      shown.texts.error && h("div", { class: "notice" }, h("b", {}, t("errorTitle")), h("p", {}, shown.texts.error), run.code && h("p", { class: "muted small" }, `${t("code")}: ${run.code}`)),
      h("div", { id: "live" }),
      h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    ].filter(Boolean));
    drawLive();
  }

  function drawLive() {
    const place = head.querySelector("#live"), { run } = shown;
    if (run.status !== "processing") return place.replaceChildren();
    const percent = live?.progress ?? null, isAsking = live?.status === "input_required";
    head.querySelector(".pill").replaceWith(pill(isAsking ? live.status : run.status, run.code));
    const bar = h("div", { class: "progress", role: "progressbar", "aria-label": t("progress"), "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": percent === null ? null : Math.round(percent) }, h("i", {}));
    bar.firstChild.style.width = `${percent ?? 0}%`;
    const words = !shown.events_url ? t("elsewhere") : live?.broken ? t("liveBroken") : isAsking ? t("asksUser", { text: live.message }) : live?.status === "streaming" ? t("writing") : live?.message || t("loading");
    place.replaceChildren(h("p", { class: "live-line" }, h("span", { class: "live-mark" }, t("live")), h("span", { class: "live-words" }, words), h("span", { class: "spacer" }), h("b", {}, percent === null ? "" : `${Math.round(percent)}%`)), bar);
  }

  function choose(name, byHand = true) {
    tab = name;
    for (const button of tabs.children) {
      const is = button.id === `tab-${name}`;
      button.setAttribute("aria-selected", String(is));
      button.tabIndex = is ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", `tab-${name}`);
    const open = [...panel.querySelectorAll("details")].map((node) => node.open), top = scrollY;
    panel.replaceChildren(...TABS[name](shown, live, showAnswer).flat(3).filter(Boolean));
    if (byHand) history.replaceState(null, "", `#/runs/${id}/${name}`);
    else panel.querySelectorAll("details").forEach((node, index) => { node.open = open[index] ?? node.open; });
    if (!byHand && scrollY !== top) scrollTo({ top });
  }

  // The same node each time: only what is new is rendered.
  function showAnswer(text, inProgress) {
    if (!text.startsWith(written)) written = "";
    if (!written) markdown.reset();
    markdown.append(text.slice(written.length));
    written = text;
    if (inProgress) markdown.flush();
    else markdown.finish();
    answer.classList.toggle("writing", inProgress);
    return [answer, h("button", { type: "button", class: "button quiet small raw", "aria-pressed": String(markdown.raw), onclick: (event) => {
      markdown.raw = !markdown.raw;
      event.currentTarget.setAttribute("aria-pressed", String(markdown.raw));
    } }, t("rawText"))];
  }

  async function copyText(text, label) {
    try { await navigator.clipboard.writeText(text); label.textContent = t("copied"); announce(t("copied")); } catch { getSelection().selectAllChildren(label.closest(".md-code")?.querySelector("code") ?? head.querySelector("code")); }
  }

  // The other questions of the conversation, oldest first.
  async function showConversation() {
    const id = shown.run.conversation_id;
    if (!id || conversation.dataset.id === id) return;
    conversation.dataset.id = id;
    try {
      const { runs } = await api.runs({ conversation: id, limit: 100 });
      if (runs.length < 2) return;
      conversation.replaceChildren(h("h2", {}, t("conversationOf", { n: runs.length })), h("ol", {}, runs.reverse().map((run) =>
        h("li", {}, h("a", { href: `#/runs/${run.run_id}`, "aria-current": run.run_id === shown.run.run_id ? "page" : null }, run.question || t("notKept")), pill(run.status, run.code)))));
    } catch (error) { console.warn(error.message); }
  }

  function walk(event) {
    const all = [...tabs.children].filter((node) => !node.hidden), at = all.indexOf(event.currentTarget);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = all[(to + all.length) % all.length];
    choose(next.id.slice(4));
    next.focus();
  }

  const ticking = setInterval(() => {
    if (shown?.run.status !== "processing") return;
    shown.now += 0.5;
    const place = head.querySelector("#elapsed");
    if (place) place.textContent = format.duration(Math.max(0, shown.now - shown.run.accepted_at));
    if (tab === "timing") choose(tab, false);
  }, 500);
  load();
  return () => { closed = true; stop?.(); clearTimeout(timer); clearInterval(ticking); };
}

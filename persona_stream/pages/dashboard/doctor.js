// Path doctor: measures the path between this browser and the server, as `persona-stream doctor` does from a terminal.

import * as api from "./api.js";
import { announce, h, icon } from "./dom.js";
import { t } from "./texts.js";

const SECONDS = 10, HOLDS = [30, 60, 100], MARGIN = 20;  // seconds: of events, of silence, until a connection counts as dead
let measured = null;  // survives a change of the language

export function openDoctor({ main, showError }) {
  let controller = new AbortController();
  const found = h("ul", { class: "findings" }), state = h("p", { class: "muted", role: "status" }), fill = h("i");
  const bar = h("div", { class: "progress", role: "progressbar", "aria-label": t("measuring"), hidden: true }, fill);
  const holds = h("input", { type: "checkbox" });
  const start = h("button", { class: "button primary" }, t("measure"));
  main.replaceChildren(h("section", { class: "doctor" }, h("h1", {}, t("doctor")), h("p", { class: "muted" }, t("doctorHint")),
    h("form", { onsubmit: run }, h("label", {}, holds, h("span", {}, t("doctorHolds", { n: HOLDS.join(", ") }))), start), state, bar, found));

  async function run(submit) {
    submit.preventDefault();
    const wanted = holds.checked ? HOLDS : [], length = Math.max(SECONDS, ...wanted), began = performance.now();
    const draw = () => {
      const seconds = Math.min(length, (performance.now() - began) / 1000);
      state.textContent = t("measuringFor", { n: Math.floor(seconds), all: length });
      fill.style.width = `${100 * seconds / length}%`;
    };
    const timer = setInterval(draw, 500);
    start.disabled = !(bar.hidden = false);
    found.replaceChildren();
    draw();
    try {
      const [ticking, ...silences] = await Promise.all([measure(SECONDS, 0, controller.signal), ...wanted.map((silent) => measure(0, silent, controller.signal))]);
      measured = { ticking, silences };
      await show();
    } catch (error) { if (!controller.signal.aborted) showError(error, () => openDoctor({ main, showError })); }
    clearInterval(timer);
    start.disabled = !(bar.hidden = true);
  }

  async function show() {
    const { findings } = await api.diagnose(measured);
    const problems = findings.filter((finding) => finding.is_problem).length;
    state.textContent = t(problems ? "doctorProblems" : "doctorHealthy", { n: problems });
    announce(state.textContent);
    found.replaceChildren(...findings.map(({ is_problem: isProblem, text, advice }) => h("li", { class: isProblem ? "bad" : "" }, icon(isProblem ? "error" : "complete"),
      h("div", {}, h("p", {}, h("span", { class: "sr-only" }, `${t(isProblem ? "doctorBad" : "doctorGood")}: `), text), advice && h("p", { class: "muted" }, withCode(advice))))));
  }
  if (measured) show().catch((error) => showError(error, () => openDoctor({ main, showError })));
  return () => controller.abort();
}

const withCode = (text) => text.split("`").map((part, index) => index % 2 ? h("code", {}, part) : part);

// The clock of the server may differ from this one: only the differences between the delays count.
async function measure(seconds, silent, signal) {
  const began = performance.now(), delays = [];
  let response = null, isComplete = false, error = "";
  try {
    response = await api.probe(seconds, silent, AbortSignal.any([signal, AbortSignal.timeout(1000 * (seconds + silent + MARGIN))]));
    if (response.ok) isComplete = await readProbes(response.body, delays);
  } catch (problem) {
    if (signal.aborted) throw problem;
    error = problem.name;
  }
  const headers = Object.fromEntries(response?.headers ?? []);
  return { silent, status: response?.status ?? 0, headers, delays, lasted: (performance.now() - began) / 1000, is_complete: isComplete, error };
}

async function readProbes(body, delays) {
  let rest = "", isComplete = false;
  for await (const text of chunks(body.pipeThrough(new TextDecoderStream()))) {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    for (const line of lines.filter((line) => line.startsWith("data:"))) {
      const event = JSON.parse(line.slice(5));
      delays.push(Date.now() / 1000 - event.sent_at);
      isComplete = event.is_complete;
    }
  }
  return isComplete;
}

// Not every browser can iterate over a stream.
async function* chunks(stream) {
  const reader = stream.getReader();
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) yield value;
}

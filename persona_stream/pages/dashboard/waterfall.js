// Waterfall of a run: a bar for each stage along one axis of seconds.

import { h, s } from "./dom.js";
import * as format from "./format.js";
import { t } from "./texts.js";

const ROW = 34, BAR = 16, LEFT = 158, RIGHT = 74, TOP = 26, NARROW = 520;

// Each bar: { kind, label, from, to, ticks: [{ at, text }] }, in seconds since 1970.
export function barsOf(run, steps, now, isQueued = false) {
  const inProgress = run.status === "processing";
  const end = run.ended_at ?? (inProgress ? now : null);
  const started = run.started_at ?? steps.find((step) => step.kind === "started")?.at ?? null;
  // The log gets the start of a run at its end; until then the stream has it, where it is available.
  if (inProgress && started === null && !isQueued) return [{ kind: "processing", label: t("processing"), from: run.accepted_at, to: end, ticks: [] }];
  const bars = [{ kind: "waiting", label: t("waiting"), from: run.accepted_at, to: started ?? end }];
  if (started !== null) {
    const ticks = steps.filter((step) => step.kind === "reported").map((step) => ({ at: step.at, text: [step.text, step.fraction === null || step.fraction === undefined ? "" : `${Math.round(step.fraction * 100)}%`].filter(Boolean).join(" · ") }));
    bars.push({ kind: "processing", label: t("processingStage"), from: started, to: end, ticks });
  }
  for (const step of steps) if (step.kind === "asked") bars.push({ kind: "asked", label: step.text || t("provided"), from: step.at, to: step.at + (step.seconds ?? 0) });
  for (const step of steps) if (step.kind === "input") bars.push({ kind: "input", label: step.text || t("k_input"), from: step.at, to: step.at + (step.seconds ?? 0) });
  for (const step of steps) if (step.kind === "text") bars.push({ kind: "text", label: t("text"), from: step.at, to: step.at + (step.seconds ?? 0) });
  if (run.first_text_at !== null) bars.push({ kind: "first", label: t("firstText"), from: run.accepted_at, to: run.first_text_at });
  if (run.delivered_at !== null) bars.push({ kind: "delivery", label: t("delivery"), from: Math.min(run.first_text_at ?? run.delivered_at, run.delivered_at), to: run.delivered_at });
  return bars.filter((bar) => bar.to !== null).map((bar) => ({ ticks: [], ...bar, to: Math.max(bar.from, bar.to) }));
}

export function waterfall(bars, since) {
  const holder = h("div", { class: "waterfall" });
  const until = Math.max(...bars.map((bar) => bar.to), since + 0.001);
  const whole = until - since;
  function draw() {
    const width = Math.max(280, holder.clientWidth || 800), narrow = width < NARROW;
    // On a phone a label stands above its bar.
    const left = narrow ? 4 : LEFT, row = narrow ? ROW + 16 : ROW, height = TOP + bars.length * row + 6;
    const x = (at) => left + ((at - since) / whole) * (width - left - RIGHT);
    const y = (index) => TOP + index * row + (narrow ? 20 : 8);
    const label = bars.map((bar) => `${bar.label}: ${format.duration(bar.to - bar.from)}`).join("; ");
    holder.replaceChildren(s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `${t("waterfall")}. ${label}` },
      marks(whole, narrow ? 4 : 7).map((seconds) => s("g", { class: "axis" }, s("line", { x1: x(since + seconds), x2: x(since + seconds), y1: TOP - 6, y2: height - 4 }),
        s("text", { x: x(since + seconds), y: 13, "text-anchor": seconds === 0 ? "start" : "middle" }, format.short(seconds)))),
      bars.map((bar, index) => s("g", { class: `bar-${bar.kind}` },
        s("text", { class: "label", x: narrow ? left : left - 12, y: narrow ? y(index) - 6 : y(index) + 12.5, "text-anchor": narrow ? "start" : "end" }, cut(bar.label, narrow ? 40 : 21), s("title", {}, bar.label)),
        s("rect", { x: x(bar.from), y: y(index), width: Math.max(2, x(bar.to) - x(bar.from)), height: BAR, rx: 3 }),
        bar.ticks.map((tick) => s("line", { class: "tick", x1: x(tick.at), x2: x(tick.at), y1: y(index) - 3, y2: y(index) + BAR + 3 }, s("title", {}, `${format.duration(tick.at - since)}: ${tick.text}`))),
        s("text", { class: "length", x: x(bar.to) + 7, y: y(index) + 12.5 }, format.duration(bar.to - bar.from))))));
  }
  new ResizeObserver(draw).observe(holder);
  draw();
  return holder;
}

// Round numbers along an axis that begins at 0.
export function marks(whole, most) {
  const rough = whole / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => whole / one <= most) ?? 10 * power;
  return Array.from({ length: Math.floor(whole / step + 1e-9) + 1 }, (_, index) => +(index * step).toPrecision(12));
}

const cut = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

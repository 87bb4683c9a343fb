// Charts over time, all of the same period: zooming into one zooms them all.

import * as api from "./api.js";
import { chart } from "./chart.js";
import { h, icon } from "./dom.js";
import * as format from "./format.js";
import { t } from "./texts.js";

const RANGES = [1, 6, 24, 168, 720];  // hours
const REFRESH_MS = 10000, MIN_RANGE = 60, MIN_POINTS = 12;   // milliseconds, seconds, slices of a chart

export function openCharts({ main, query, showError }) {
  let hours = RANGES.includes(Number(query.get("range"))) ? Number(query.get("range")) : 24;
  let zoomed = query.has("since") ? [Number(query.get("since")), Number(query.get("until"))] : null;
  let drawn = null, round = 0, closed = false;
  const bar = h("div", { class: "bar" }), body = h("div", { class: "charts-body" }, h("p", { class: "muted", role: "status" }, t("loading")));
  main.replaceChildren(h("h1", { class: "sr-only" }, t("charts")), bar, body);

  function drawBar() {
    const tool = (label, name, act) => h("button", { type: "button", class: "button icon-only", "aria-label": t(label), title: t(label), onclick: act }, icon(name));
    const focused = document.activeElement?.getAttribute?.("aria-label");
    bar.replaceChildren(h("div", { class: "filters" },
      h("div", { class: "segments", role: "group", "aria-label": t("range") }, RANGES.map((one) => h("button", { type: "button", "aria-pressed": String(!zoomed && one === hours), onclick: () => { hours = one; go(null); } }, t(`r${one}`)))),
      h("div", { class: "tools" }, tool("earlier", "left", () => move(-0.5)), tool("later", "right", () => move(0.5)), tool("zoomIn", "plus", () => scale(0.5)), tool("zoomOut", "minus", () => scale(2))),
      zoomed && h("span", { class: "muted small", id: "zoomed" }, `${format.moment(zoomed[0])} – ${format.moment(zoomed[1])}`),
      h("span", { class: "spacer" }), h("span", { class: "muted small hint" }, t("zoomHint"))));
    if (focused) [...bar.querySelectorAll("[aria-label]")].find((node) => node.getAttribute("aria-label") === focused)?.focus();
  }

  const stretch = () => zoomed ?? (drawn ? [drawn.now - hours * 3600, drawn.now] : [0, 1]);
  function move(share) { const [since, until] = stretch(), by = share * (until - since); go([since + by, until + by]); }
  function scale(factor) { const [since, until] = stretch(), middle = (since + until) / 2, half = Math.max(MIN_RANGE, factor * (until - since)) / 2; go([middle - half, middle + half]); }

  function go(to) {
    const now = drawn?.now ?? Date.now() / 1000;
    zoomed = to && to[1] - to[0] < 400 * 86400 ? [Math.max(0, Math.floor(to[0])), Math.ceil(Math.min(to[1], now))] : null;
    if (zoomed && zoomed[1] - zoomed[0] < MIN_RANGE) zoomed[0] = zoomed[1] - MIN_RANGE;
    history.replaceState(null, "", `#/charts?${new URLSearchParams(zoomed ? { range: hours, since: zoomed[0], until: zoomed[1] } : { range: hours })}`);
    drawBar();
    load();
  }

  async function load(quietly = false) {
    const mine = ++round;
    let answer;
    try {
      if (!zoomed && !drawn) drawn = { now: (await api.runs({ limit: 1 })).now };
      answer = zoomed ? await api.stats(...zoomed) : await api.stats(drawn.now - hours * 3600, undefined);
    } catch (error) {
      if (mine === round && !closed && (!quietly || error.code === "unauthorized")) showError(error, () => openCharts({ main, query: new URLSearchParams(location.hash.split("?")[1]), showError }));
      return;
    }
    if (mine !== round || closed) return;
    drawn = { now: answer.now };
    draw(answer.chart, answer.progress);
  }

  function draw({ points: all, seconds, totals }, progress) {
    // The charts begin with the first run, if it is younger than the range.
    const first = all.findIndex((point) => point.requests > 0);
    const points = zoomed || first < 2 ? all : all.slice(Math.min(first - 1, all.length - MIN_POINTS));
    const moments = points.map((point) => point.at);
    const zoom = (since, until) => go(since === undefined ? null : [since, until]);
    const one = (title, unit, lines, more = {}) => chart({ title, unit, lines, moments, width: seconds, zoom, ...more });
    const each = (field) => points.map((point) => point[field]);
    const ranks = (field) => ["p50", "p95", "p99"].map((rank) => ({ name: t("p", { n: rank.slice(1) }), values: points.map((point) => point[field][rank]) }));
    const whole = (n) => (Number.isInteger(n) ? format.number(n) : "");
    const tenths = (n) => format.number(+n.toFixed(n < 10 ? 2 : 1));
    const slice = t("perSlice", { s: format.span(seconds) });
    const isOpen = body.querySelector("details")?.open ?? false, top = scrollY;
    body.replaceChildren(
      tiles(totals),
      h("div", { class: "grid" },
        one(`${t("requests")} ${slice}`, whole, [{ name: t("requests"), values: each("requests") }, { name: t("errors"), values: each("failed") }], { fill: true }),
        one(t("inFlight"), tenths, [{ name: t("inFlight"), values: each("in_flight") }], { fill: true }),
        one(t("ttftLong"), format.duration, ranks("ttft"), { axis: format.short }),
        one(t("total"), format.duration, ranks("total"), { axis: format.short }),
        ...(totals.cost ? [one(`${t("cost")} ${slice}`, format.money, [{ name: t("cost"), values: each("cost") }], { fill: true })] : []),
        performance(totals),
        ...(progress.length ? [accuracy(progress)] : [])),
      h("details", { class: "fold", open: isOpen }, h("summary", {}, t("numbers")), numbers(points)));
    scrollTo({ top });
  }

  drawBar();
  load();
  const timer = setInterval(() => { if (!document.hidden && !zoomed && !body.contains(document.activeElement) && !body.querySelector(".plot:hover")) load(true); }, REFRESH_MS);
  return () => { closed = true; clearInterval(timer); };
}

function tiles(totals) {
  const rate = totals.requests ? `${((100 * totals.failed) / totals.requests).toFixed(1)}%` : format.NONE;
  const facts = [[t("requests"), format.number(totals.requests)], [t("errorRate"), rate], [t("inputTokens"), format.number(totals.input_tokens)], [t("outputTokens"), format.number(totals.output_tokens)], [t("cost"), format.money(totals.cost)]].filter(([, value]) => value !== format.NONE && value !== "$0");
  return h("dl", { class: "facts tiles", "aria-label": t("summary") }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

const STAGES = { waiting: "waiting", processing: "processingStage", ttft: "firstText", delivery: "delivery", total: "total" };
function performance(totals) {
  return h("section", { class: "chart" }, h("h2", {}, t("performance")), h("table", { class: "plain" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("stage")), h("th", { scope: "col", class: "number" }, t("mean")), h("th", { scope: "col", class: "number" }, t("ofRuns")))),
    h("tbody", {}, totals.stages.map((stage) => h("tr", {}, h("th", { scope: "row" }, t(STAGES[stage.name])), h("td", { class: "number" }, format.duration(stage.mean)), h("td", { class: "number" }, format.number(stage.runs)))),
      h("tr", {}, h("th", { scope: "row" }, t("tokenPace")), h("td", { class: "number" }, totals.tokens_per_second === null ? format.NONE : totals.tokens_per_second.toFixed(1)), h("td", {})),
      h("tr", {}, h("th", { scope: "row" }, t("pace")), h("td", { class: "number" }, totals.characters_per_second === null ? format.NONE : format.number(Math.round(totals.characters_per_second))), h("td", {})))));
}

function accuracy(backends) {
  const columns = ["backend", "ofRuns", "progressError", "progressBest", "progressStuck", "progressRange"];
  const share = (value) => (value === null ? format.NONE : `${Math.round(100 * value)} %`);
  const points = (value) => format.number(+value.toFixed(1));
  return h("section", { class: "chart" }, h("h2", {}, t("progressAccuracy")), h("table", { class: "plain" },
    h("thead", {}, h("tr", {}, columns.map((name, index) => h("th", { scope: "col", class: index ? "number" : null }, t(name))))),
    h("tbody", {}, backends.map((one) => h("tr", {}, h("th", { scope: "row" }, one.backend),
      [format.number(one.runs), points(one.error), points(one.best_error), share(one.stuck), share(one.coverage)].map((text) => h("td", { class: "number" }, text)))))),
    h("p", { class: "muted small" }, t("progressHint")));
}

function numbers(points) {
  const columns = [[t("time"), (p) => format.moment(p.at)], [t("requests"), (p) => format.number(p.requests)], [t("errors"), (p) => format.number(p.failed)], [t("inFlight"), (p) => p.in_flight.toFixed(2)],
    ...["ttft", "total"].flatMap((field) => ["p50", "p95", "p99"].map((rank) => [`${t(field)} ${rank}`, (p) => format.duration(p[field][rank])])), [t("cost"), (p) => format.money(p.cost)]];
  return h("div", { class: "table", tabindex: "0", role: "group", "aria-label": t("numbers") }, h("table", { class: "plain" }, h("thead", {}, h("tr", {}, columns.map(([name]) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, points.map((point) => h("tr", {}, columns.map(([, read]) => h("td", {}, read(point))))))));
}

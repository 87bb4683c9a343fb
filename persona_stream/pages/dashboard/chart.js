// A line chart over time, with an axis, a readout for the pointer and the arrow keys, and zoom by dragging.

import { h, s } from "./dom.js";
import * as format from "./format.js";
import { t } from "./texts.js";
import { marks } from "./waterfall.js";

const HEIGHT = 178, LEFT = 56, RIGHT = 12, TOP = 10, BOTTOM = 24, MIN_ZOOM_PX = 8;

// `lines`: [{ name, values, dash }], a value for each of `moments` or null. `zoom(since, until)`, or zoom() to go back.
export function chart({ title, unit, axis = unit, lines, moments, width: slice, fill = false, zoom }) {
  const holder = h("div", { class: "plot", tabindex: "0", role: "group", "aria-roledescription": t("charts"), "aria-label": title });
  const readout = h("p", { class: "readout", "aria-live": "polite" });
  const legend = h("ul", { class: "legend" }, lines.map((line, index) => h("li", {}, s("svg", { viewBox: "0 0 22 8", width: 22, height: 8, "aria-hidden": "true" }, s("line", { class: `line line-${index}`, x1: 1, x2: 21, y1: 4, y2: 4 })), line.name)));
  const figure = h("figure", { class: "chart" }, h("figcaption", {}, h("h2", {}, title), lines.length > 1 ? legend : null), holder, readout);
  const since = moments[0] ?? 0, until = (moments.at(-1) ?? 0) + slice;
  const most = Math.max(...lines.flatMap((line) => line.values.filter((value) => value !== null)), 0);
  const marked = marks(most || 1, 4), top = Math.max(most, marked.at(-1)) || 1;
  let width = 600, at = null, from = null;

  const x = (moment) => LEFT + ((moment - since) / (until - since)) * (width - LEFT - RIGHT);
  const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const middle = (index) => x(moments[index] + slice / 2);
  const moment = (pixel) => since + ((Math.min(width - RIGHT, Math.max(LEFT, pixel)) - LEFT) / (width - LEFT - RIGHT)) * (until - since);
  const index = (pixel) => Math.min(moments.length - 1, Math.max(0, Math.floor((moment(pixel) - since) / slice)));

  const cursor = s("g", { class: "cursor" }), zone = s("rect", { class: "zone", y: TOP, height: HEIGHT - TOP - BOTTOM, width: 0 });

  function draw() {
    width = Math.max(260, holder.clientWidth || 600);
    const columns = Math.max(2, Math.floor((width - LEFT) / 92));
    holder.replaceChildren(s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, "aria-hidden": "true" },
      marked.map((value) => s("g", { class: "axis" }, s("line", { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }), s("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, axis(value)))),
      Array.from({ length: columns }, (_, number) => since + ((until - since) * (number + 0.5)) / columns).map((one) => s("text", { class: "when", x: x(one), y: HEIGHT - 6, "text-anchor": "middle" }, until - since > 2 * 86400 ? format.day(one) : format.minute(one))),
      lines.map((line, number) => [fill && number === 0 ? s("path", { class: `area area-${number}`, d: area(line.values) }) : null, s("path", { class: `line line-${number}`, d: path(line.values) }), lonely(line.values).map((point) => s("circle", { class: `dot dot-${number}`, cx: middle(point), cy: y(line.values[point]), r: 2.5 }))]),
      zone, cursor));
    show(at);
  }

  // A line breaks where there is no value; a value without neighbours is a dot.
  function path(values) {
    return values.map((value, point) => (value === null ? "" : `${point && values[point - 1] !== null ? "L" : "M"}${middle(point).toFixed(1)} ${y(value).toFixed(1)}`)).join("");
  }
  function area(values) {
    return `M${middle(0)} ${y(0)}${values.map((value, point) => `L${middle(point).toFixed(1)} ${y(value ?? 0).toFixed(1)}`).join("")}L${middle(values.length - 1)} ${y(0)}Z`;
  }
  const lonely = (values) => values.flatMap((value, point) => (value !== null && (values[point - 1] ?? null) === null && (values[point + 1] ?? null) === null ? [point] : []));

  function show(point) {
    at = point;
    if (point === null || !moments.length) { cursor.replaceChildren(); readout.textContent = " "; return; }
    cursor.replaceChildren(...[s("line", { x1: middle(point), x2: middle(point), y1: TOP, y2: HEIGHT - BOTTOM }),
      ...lines.map((line, number) => (line.values[point] === null ? null : s("circle", { class: `dot dot-${number}`, cx: middle(point), cy: y(line.values[point]), r: 3.5 })))].filter(Boolean));
    readout.textContent = `${format.moment(moments[point])}  ${lines.map((line) => `${lines.length > 1 ? `${line.name} ` : ""}${line.values[point] === null ? format.NONE : unit(line.values[point])}`).join(" · ")}`;
  }

  const pixel = (event) => event.clientX - holder.getBoundingClientRect().left;
  holder.addEventListener("pointermove", (event) => {
    show(index(pixel(event)));
    if (from === null) return;
    const to = Math.min(width - RIGHT, Math.max(LEFT, pixel(event)));
    zone.setAttribute("x", Math.min(from, to));
    zone.setAttribute("width", Math.abs(to - from));
  });
  holder.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType === "touch") return;
    from = Math.min(width - RIGHT, Math.max(LEFT, pixel(event)));
    holder.setPointerCapture(event.pointerId);
  });
  holder.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const to = pixel(event), began = from;
    from = null;
    zone.setAttribute("width", 0);
    if (Math.abs(to - began) >= MIN_ZOOM_PX) zoom(Math.min(moment(began), moment(to)), Math.max(moment(began), moment(to)));
  });
  holder.addEventListener("pointercancel", () => { from = null; zone.setAttribute("width", 0); });
  holder.addEventListener("pointerleave", () => { if (from === null) show(null); });
  holder.addEventListener("dblclick", () => zoom());
  holder.addEventListener("blur", () => show(null));
  holder.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Home" || event.key === "End" || step) {
      event.preventDefault();
      const last = moments.length - 1;
      show(event.key === "Home" ? 0 : event.key === "End" ? last : Math.min(last, Math.max(0, (at ?? (step > 0 ? -1 : last + 1)) + step)));
    }
  });
  new ResizeObserver(draw).observe(holder);
  draw();
  return figure;
}

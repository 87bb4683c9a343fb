// Numbers, durations and times in the language of the page.

import { language, t } from "./texts.js";

const tag = () => (language() === "zh" ? "zh-CN" : "en-GB");
export const NONE = "–";

export function number(n) { return n === null || n === undefined ? NONE : n.toLocaleString(tag()); }

export function bytes(n) {
  if (n === null || n === undefined) return NONE;
  const [value, unit] = n < 1000 ? [n, "byte"] : n < 1e6 ? [n / 1e3, "kilobyte"] : [n / 1e6, "megabyte"];
  return value.toLocaleString(tag(), { style: "unit", unit, unitDisplay: unit === "byte" ? "long" : "short", maximumSignificantDigits: 3 });
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  if (seconds < 0.9995) return t("ms", { n: seconds === 0 ? 0 : Math.max(1, Math.round(seconds * 1000)) });
  if (seconds < 99.95) return t("sec", { n: seconds.toFixed(seconds < 9.995 ? 2 : 1) });
  return t("sec", { n: Math.round(seconds) });
}

// For an axis: no more digits than needed.
export function short(seconds) {
  if (seconds === 0) return "0";
  return seconds < 0.9995 ? duration(seconds) : t("sec", { n: +seconds.toFixed(2) });
}

export function span(seconds) {
  if (seconds < 60) return t("sec", { n: seconds });
  if (seconds < 3600) return t("min", { n: Math.round(seconds / 60) });
  return seconds < 86400 ? t("hour", { n: +(seconds / 3600).toFixed(1) }) : t("day", { n: +(seconds / 86400).toFixed(1) });
}

export function money(dollars) {
  if (dollars === null || dollars === undefined) return NONE;
  if (dollars === 0) return "$0";
  return `$${dollars < 0.01 ? dollars.toPrecision(2) : dollars.toFixed(dollars < 1 ? 3 : 2)}`.replace(/^\$(\d\.?\d*)e-(\d+)$/, (_, digits, places) => `$${(+`${digits}e-${places}`).toFixed(+places + 1)}`);
}

export function moment(at, withDate = true) {
  const date = new Date(at * 1000);
  const time = date.toLocaleTimeString(tag(), { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  return withDate ? `${day(at)} ${time}` : time;
}
export function day(at) { return new Date(at * 1000).toLocaleDateString(tag(), { month: "short", day: "numeric" }); }
export function minute(at) { return new Date(at * 1000).toLocaleTimeString(tag(), { hour: "2-digit", minute: "2-digit", hour12: false }); }
export const isToday = (at) => new Date(at * 1000).toDateString() === new Date().toDateString();

export function pretty(value) { return JSON.stringify(value, null, 2); }
export function prettyText(text) {
  try { return pretty(JSON.parse(text)); } catch { return text; }
}

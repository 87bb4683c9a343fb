// The filters of the list: the values in the address, the controls, and the query of the request.

import { h, icon } from "./dom.js";
import { t } from "./texts.js";

const NAMES = ["status", "user", "endpoint", "model", "conversation", "slow", "last", "search"];
const SLOW = [5, 10, 30, 60];
const TIMES = { 3600: "lastHour", 21600: "last6", 86400: "lastDay", 604800: "lastWeek", 2592000: "lastMonth" };

export function readFilters(query) {
  return Object.fromEntries(NAMES.map((name) => [name, query.get(name) ?? ""]));
}

export function writeFilters(values) {
  const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value));
  return `#/runs${query.size ? `?${query}` : ""}`;
}

export const isFiltered = (values) => Object.values(values).some(Boolean);

// `now` is the server's time: the browser's clock may differ.
export function toRequest(values, now) {
  const { status, last, ...rest } = values;
  const filters = { ...rest };
  if (status === "failed") filters.failed = 1;
  else if (status) filters.status = status;
  if (last) filters.since = now - Number(last);
  return filters;
}

export function filterBar(values, choices, change) {
  const later = debounced(change);
  const states = ["", "processing", "complete", "failed", "cancelled"].map((state) =>
    h("button", { type: "button", "aria-pressed": String(values.status === state), onclick: () => change({ status: state }) }, state ? t(state) : t("all")));
  const select = (name, label, any, options) => h("select", { class: "field", name, "aria-label": t(label), onchange: (event) => change({ [name]: event.target.value }) },
    h("option", { value: "" }, t(any)), options.map(([value, text]) => h("option", { value, selected: values[name] === value }, text)));
  const input = (name, label, hint, more = {}) => h("input", { class: "field", name, type: "search", value: values[name], "aria-label": t(label), placeholder: t(hint), autocomplete: "off", spellcheck: "false", oninput: (event) => later({ [name]: event.target.value.trim() }), ...more });
  const same = (list) => list.map((value) => [value, value]);
  return h("form", { class: "filters", role: "search", "aria-label": t("filters"), onsubmit: (event) => event.preventDefault() },
    h("div", { class: "searching" }, icon("search"), input("search", "search", "searchHint")),
    h("div", { class: "segments", role: "group", "aria-label": t("status") }, states),
    input("user", "user", "anyUser", { list: "users" }),
    h("datalist", { id: "users" }, [...new Set([...choices.usernames, ...choices.owners])].map((name) => h("option", { value: name }))),
    select("endpoint", "endpoint", "anyEndpoint", same(choices.endpoints)),
    select("model", "model", "anyModel", same(choices.models)),
    select("slow", "slow", "anySlow", SLOW.map((n) => [String(n), t("atLeast", { n })])),
    select("last", "when", "anyTime", Object.entries(TIMES).map(([value, key]) => [value, t(key)])),
    values.conversation && h("button", { type: "button", class: "button", onclick: () => change({ conversation: "" }) }, t("conversationIs", { id: values.conversation }), icon("close")),
    isFiltered(values) && h("button", { type: "button", class: "button quiet", id: "clear", onclick: () => change(Object.fromEntries(NAMES.map((name) => [name, ""]))) }, t("clear")));
}

function debounced(change) {
  let timer = 0, waiting = {};
  return (values) => {
    waiting = { ...waiting, ...values };
    clearTimeout(timer);
    timer = setTimeout(() => { change(waiting); waiting = {}; }, 350);
  };
}

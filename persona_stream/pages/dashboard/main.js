// The page: session, navigation and language.

import * as api from "./api.js";
import { openCharts } from "./charts.js";
import { loadColumns } from "./columns.js";
import { openDoctor } from "./doctor.js";
import { $, announce, h, icon } from "./dom.js";
import { openList } from "./list.js";
import { openRun } from "./run.js";
import { language, switchLanguage, t } from "./texts.js";
import { openWorkers } from "./workers.js";

let session = null;    // null until login
let close = () => {};  // stops the timers of the open section

// Addresses: #/runs?status=error · #/runs/<id>/<tab> · #/charts?range=24
function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [section = "", id = "", tab = ""] = path.split("/").map((part) => { try { return decodeURIComponent(part); } catch { return part; } });
  return { section: section || "runs", id, tab, query: new URLSearchParams(query) };
}

// A link of the page or the terminal logs in: #token=...&to=/runs/<id>. The token must not stay in the history.
async function loginFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)), token = given.get("token");
  if (!token) return;
  history.replaceState(null, "", `${location.pathname}#${given.get("to") ?? ""}`);
  await api.login(token);
}

async function start() {
  draw();
  try {
    await loginFromAddress();
    session = await api.session();
    if (session.user === null) return openLogin(null);
    await loadColumns();
    open();
  } catch (error) {
    error.code === "unauthorized" || error.code === "forbidden" ? openLogin(error) : openError(error, start);
  }
}

function draw() {
  document.documentElement.lang = language() === "zh" ? "zh-CN" : "en";
  document.title = `${t("title")} · persona_stream`;
  $("skip").textContent = t("skip");
  $("skip").onclick = (event) => { event.preventDefault(); $("main").focus(); };
  const here = place().section;
  const link = (section) => h("a", { href: `#/${section}`, class: "chip", "aria-current": here === section ? "page" : null }, t(section));
  $("header").replaceChildren(...[
    h("p", { class: "brand" }, icon("bars"), h("span", {}, t("title"))),
    session && h("nav", { "aria-label": t("sections") }, session.has_log && [link("runs"), link("charts")], session.has_workers && link("workers"), link("doctor")),
    h("span", { class: "spacer" }),
    h("a", { href: "./", class: "chip away" }, t("page")),
    h("a", { href: "docs", class: "chip away" }, t("apiDocs")),
    session && h("span", { class: "me", title: session.user }, session.user),
    h("button", { type: "button", class: "chip", id: "language", lang: language() === "zh" ? "en" : "zh-CN", onclick: () => { switchLanguage(); draw(); session ? open() : start(); } }, t("otherLanguage")),
    session && h("button", { type: "button", class: "chip", id: "logout", "aria-label": t("logout"), onclick: leave }, icon("logout"), h("span", {}, t("logout"))),
  ].filter(Boolean));
}

function open() {
  close();
  close = () => {};
  draw();
  const { section, id, tab, query } = place();
  const main = $("main");
  if (!session.has_log && !["workers", "doctor"].includes(section)) return openNoLog();
  const context = { main, query, showError: (error, again) => (error.code === "unauthorized" ? openLogin(null) : openError(error, again)) };
  if (section === "charts") close = openCharts(context);
  else if (section === "workers") close = openWorkers(context);
  else if (section === "doctor") close = openDoctor(context);
  else if (id) close = openRun(context, id, tab);
  else close = openList(context);
}

async function leave() {
  try { await api.logout(); } catch (error) { return openError(error, leave); }
  session = null;
  draw();
  openLogin(null);
}

function openLogin(error) {
  close();
  close = () => {};
  session = null;
  draw();
  const field = h("input", { class: "field", id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true });
  const wrong = h("p", { class: "notice", role: "alert", hidden: true });
  const complain = (error) => {
    wrong.hidden = false;
    wrong.textContent = t(`e_${error.code in KNOWN ? error.code : "internal"}`);
    field.setAttribute("aria-invalid", "true");
    field.focus();
  };
  const submit = async (event) => {
    event.preventDefault();
    try { await api.login(field.value); } catch (error) { return complain(error); }
    start();
  };
  $("main").replaceChildren(h("form", { class: "card", onsubmit: submit },
    h("h1", {}, t("loginTitle")), h("p", { class: "muted" }, t("loginHint")), h("pre", {}, 'persona-stream token --user me --scope "chat admin"'),
    h("label", { for: "token" }, t("token")), field, wrong, h("button", { class: "button primary" }, t("login")), h("p", { class: "muted small" }, t("loginKept"))));
  if (error) complain(error);
  field.focus();
}
const KNOWN = { unauthorized: 1, forbidden: 1, invalid_request: 1, not_found: 1, gone: 1, unavailable: 1, unreachable: 1 };

function openError(error, again) {
  close();
  close = () => {};
  const code = error.code in KNOWN ? error.code : "internal";
  if (!(error instanceof api.RequestError)) console.error(error);
  const button = h("button", { type: "button", class: "button", onclick: () => { close(); again(); } }, t("retry"));
  $("main").replaceChildren(h("div", { class: "card", role: "alert" }, h("h1", {}, t(`e_${code}`)),
    error.message && error.status ? h("p", { class: "muted" }, t("serverMessage", { text: error.message })) : null, button));
  // An outage ends at some time: retry automatically.
  const timer = code === "unavailable" || code === "unreachable" ? setInterval(() => { close(); again(); }, 5000) : 0;
  close = () => clearInterval(timer);
}

function openNoLog() {
  $("main").replaceChildren(h("div", { class: "card" }, h("h1", {}, t("noLogTitle")), h("p", { class: "muted" }, t("noLog"))));
}

addEventListener("hashchange", () => {
  if (!session || location.hash === "#main") return;
  open();
  announce(document.title);
});
start();

// The list of runs: newest first, filtered, and refreshed every few seconds without moving the rows in view.

import * as api from "./api.js";
import { announce, h } from "./dom.js";
import { isNumber, listed, title, titleOfTwo, tokens, value } from "./columns.js";
import { filterBar, isFiltered, readFilters, toRequest, writeFilters } from "./filters.js";
import * as format from "./format.js";
import { isInProgress } from "./pills.js";
import { t } from "./texts.js";

const REFRESH_MS = 4000, PAGE_SIZE = 50, MAX_SEARCH_PAGES = 5, TOP_PX = 80;
const COMBINED = new Set(["run_id", "owner"]);  // shown inside other cells

export function openList({ main, query, showError }) {
  let values = readFilters(query), choices = null, next = null, now = Date.now() / 1000, round = 0, closed = false;
  let waiting = [];               // newer runs, while the page is scrolled down
  const shown = new Map();        // run id → { run, row }
  const bar = h("div", { class: "bar" });
  const body = h("tbody");
  const fresh = h("button", { type: "button", class: "button primary fresh", hidden: true, onclick: showWaiting });
  const foot = h("div", { class: "foot" });
  const table = h("table", { class: "log" }, h("caption", { class: "sr-only" }, t("list")), h("thead", {}, h("tr", {}, listed(COMBINED).map((column) =>
    h("th", { scope: "col", class: cellClass(column), title: column.name === "ttft" ? t("ttftLong") : null }, column.name === "username" ? titleOfTwo(column, "owner") : title(column))))), body);
  main.replaceChildren(h("h1", { class: "sr-only" }, t("runs")), bar, fresh, h("div", { class: "table" }, table), foot);

  function drawBar() {
    const active = bar.contains(document.activeElement) ? document.activeElement : null;
    const drawn = filterBar(values, choices ?? { usernames: [], owners: [], endpoints: [], models: [] }, change);
    bar.replaceChildren(drawn);
    const again = active && (active.name ? drawn.querySelector(`[name="${active.name}"]`) : drawn.querySelectorAll(".segments button")[[...active.parentNode?.children ?? []].indexOf(active)]);
    again?.focus();
    if (again?.type === "search" && again.value !== active.value) again.value = active.value;
    if (again?.type === "search") again.setSelectionRange(again.value.length, again.value.length);
  }

  function change(some) {
    values = { ...values, ...some };
    history.replaceState(null, "", writeFilters(values));
    drawBar();
    load();
  }

  async function load() {
    const mine = ++round;
    main.setAttribute("aria-busy", "true");
    try {
      const page = await found(undefined, mine);
      if (mine !== round || closed) return;
      shown.clear();
      waiting = [];
      body.replaceChildren();
      add(page.runs);
      ended(page);
      announce(page.runs.length ? t("nShown", { n: page.runs.length }) : t("noRuns"));
    } catch (error) {
      if (mine === round && !closed) showError(error, () => openList({ main, query: new URLSearchParams(location.hash.split("?")[1]), showError }));
    } finally {
      main.removeAttribute("aria-busy");
    }
  }

  // A page of a search may be empty and have a next one: request a few more, and then offer a button.
  async function found(before, mine) {
    let page, runs = [];
    for (let tries = 0; tries < MAX_SEARCH_PAGES; tries += 1) {
      page = await api.runs({ ...toRequest(values, now), before, limit: PAGE_SIZE });
      now = page.now;
      runs = runs.concat(page.runs);
      before = page.next;
      if (!before || runs.length >= PAGE_SIZE || mine !== round) break;
    }
    return { ...page, runs };
  }

  async function more() {
    const mine = round;
    const button = foot.querySelector("button");
    if (button) button.disabled = true;
    try {
      const page = await found(next, mine);
      if (mine !== round || closed) return;
      const first = add(page.runs);
      ended(page);
      if (button && document.activeElement === document.body) first?.querySelector("a").focus({ preventScroll: true });
    } catch (error) {
      if (!closed) showError(error, load);
    }
  }

  function ended(page) {
    next = page.next;
    foot.replaceChildren(...[
      shown.size === 0 && !next ? h("p", { class: "empty" }, isFiltered(values) ? t("noRuns") : t("noRunsYet")) : h("p", { class: "muted small" }, t("nShown", { n: format.number(shown.size) })),
      next ? h("button", { type: "button", class: "button", id: "more", onclick: more }, page.runs.length < PAGE_SIZE && values.search ? t("searchMore", { when: format.moment(timeOf(next)) }) : t("more")) : shown.size ? h("p", { class: "muted small" }, t("end")) : null,
    ].filter(Boolean));
  }

  function add(runs, atTop = false) {
    let first = null;
    const rows = [];
    for (const run of runs) {
      if (shown.has(run.run_id)) { renew(run); continue; }
      const row = rowOf(run, now);
      shown.set(run.run_id, { run, row });
      rows.push(row);
      first ??= row;
    }
    atTop ? body.prepend(...rows) : body.append(...rows);
    return first;
  }

  function renew(run) {
    const known = shown.get(run.run_id);
    if (JSON.stringify(known.run) === JSON.stringify(run)) return;
    const row = rowOf(run, now), had = known.row.contains(document.activeElement);
    known.row.replaceWith(row);
    shown.set(run.run_id, { run, row });
    if (had) row.querySelector("a").focus({ preventScroll: true });
  }

  function showWaiting() {
    add(waiting, true);
    waiting = [];
    fresh.hidden = true;
    scrollTo({ top: 0 });
    body.querySelector("a")?.focus({ preventScroll: true });
  }

  async function refresh() {
    if (document.hidden || values.search) return;
    const mine = round;
    let page;
    try { page = await api.runs({ ...toRequest(values, now), limit: PAGE_SIZE }); } catch (error) {
      if (error.code === "unauthorized" && !closed) showError(error);
      return;  // on any other error the list stays, and the next refresh may succeed
    }
    if (mine !== round || closed) return;
    now = page.now;
    const fit = new Set(page.runs.map((run) => run.run_id));
    for (const run of page.runs) if (shown.has(run.run_id)) renew(run);
    const oldest = page.runs.at(-1)?.run_id ?? "";
    // Runs that no longer match the filters, because they have ended for example, are removed.
    for (const [id, { row }] of [...shown]) if ((id >= oldest || !page.next) && !fit.has(id)) { row.remove(); shown.delete(id); }
    const newer = page.runs.filter((run) => !shown.has(run.run_id));
    if (!newer.length) return;
    const isNewer = (run) => !shown.size || run.run_id > [...shown.keys()].reduce((one, other) => (one > other ? one : other));
    if (scrollY < TOP_PX || !newer.every(isNewer)) { insert(newer); return; }
    waiting = newer;
    fresh.hidden = false;
    fresh.textContent = t("newRuns", { n: newer.length });
  }

  function insert(newer) {
    for (const run of newer) {
      const after = [...shown.values()].filter((one) => one.run.run_id < run.run_id).sort((one, other) => (one.run.run_id < other.run.run_id ? 1 : -1))[0];
      const row = rowOf(run, now);
      after ? after.row.before(row) : body.append(row);
      shown.set(run.run_id, { run, row });
    }
    if (foot.querySelector(".empty")) ended({ runs: newer, next });
  }

  function tick() {
    for (const { run, row } of shown.values()) {
      if (isInProgress(run.status)) row.querySelector(".elapsed").textContent = format.duration(Math.max(0, now - run.accepted_at));
    }
  }

  drawBar();
  load();
  api.choices().then((answer) => { choices = answer.choices; if (!closed) drawBar(); }, () => {});
  const timers = [setInterval(refresh, REFRESH_MS), setInterval(() => { now += 1; tick(); }, 1000)];
  return () => { closed = true; timers.forEach(clearInterval); };
}

// A run id begins with its time: 48 bits of milliseconds, in 10 letters of Crockford's base 32.
function timeOf(runId) {
  return [...runId.slice(0, 10)].reduce((sum, letter) => sum * 32 + "0123456789abcdefghjkmnpqrstvwxyz".indexOf(letter), 0) / 1000;
}

const two = (first, second) => [h("span", { class: "first" }, first), h("span", { class: "second" }, second)];
// Cells that show more than the value of their column.
const CELLS = {
  accepted_at: (run) => h("time", { datetime: new Date(run.accepted_at * 1000).toISOString(), title: format.moment(run.accepted_at) },
    two(format.moment(run.accepted_at, false), format.isToday(run.accepted_at) ? "" : format.day(run.accepted_at))),
  username: (run) => two(run.username, run.owner),
  endpoint: (run) => two(run.endpoint?.replace(/^\/api\//, "") ?? "", run.dialect),
  model: (run) => h("span", { title: run.model }, run.model ?? format.NONE),
  question: (run) => [h("a", { href: addressOf(run), title: run.question }, run.question || t("notKept")), run.error && h("span", { class: "second bad", title: run.error }, run.error), run.asked && h("span", { class: "second", title: run.asked }, t("asksUser", { text: run.asked }))],
  total: (run, now) => (isInProgress(run.status) ? h("span", { class: "elapsed" }, format.duration(Math.max(0, now - run.accepted_at))) : [h("span", {}, format.duration(run.total)), run.total === null ? null : meter(run.total, run.status)]),
  output_tokens: tokens,
};
const addressOf = (run) => `#/runs/${run.run_id}`;
const cellClass = (column) => `c-${column.name}${isNumber(column) ? " number" : ""}`;

function rowOf(run, now) {
  return h("tr", { "data-run": run.run_id, onclick: (event) => { if (!event.target.closest("a") && !String(getSelection())) location.hash = addressOf(run); } },
    listed(COMBINED).map((column) => h("td", { class: cellClass(column) }, CELLS[column.name] ? CELLS[column.name](run, now) : value(column, run))));
}

// The full length is one minute; the square root keeps one second visible.
function meter(total, status) {
  const bar = h("i", { class: status });
  bar.style.width = `${Math.min(100, 100 * Math.sqrt(total / 60)).toFixed(1)}%`;
  return h("span", { class: "meter", "aria-hidden": "true" }, bar);
}

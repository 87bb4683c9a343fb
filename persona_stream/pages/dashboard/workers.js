// The processes of workers on other machines, read again every few seconds.

import * as api from "./api.js";
import { h } from "./dom.js";
import * as format from "./format.js";
import { t } from "./texts.js";

const INTERVAL = 5000;  // milliseconds

export function openWorkers({ main, showError }) {
  const foot = h("p", { class: "quiet" });
  const body = h("tbody");
  const column = (name, more = {}) => h("th", { scope: "col", ...more }, t(name));
  const number = { class: "number" };
  main.replaceChildren(h("section", { class: "chart workers" }, h("h1", {}, t("workers")), h("div", { class: "table", tabindex: "0", role: "group", "aria-label": t("workers") }, h("table", { class: "plain" },
    h("thead", {}, h("tr", {}, column("host"), column("process", number), column("pool"), column("queues"), column("slots", number), column("runningNow", number), column("heartbeat", number))), body)), foot));
  let timer = 0, closed = false;

  async function load() {
    try {
      const { workers } = await api.workers();
      if (closed) return;
      body.replaceChildren(...workers.map((worker) => h("tr", {}, h("th", { scope: "row" }, worker.host), h("td", number, String(worker.pid)), h("td", {}, worker.pool), h("td", {}, worker.queues.join(", ")),
        h("td", number, format.number(worker.slots)), h("td", number, format.number(worker.running)), h("td", number, t("ago", { s: format.duration(worker.silent) })))));
      const sum = (field) => workers.reduce((total, worker) => total + worker[field], 0);
      foot.textContent = workers.length ? t("workersSum", { n: workers.length, running: sum("running"), slots: sum("slots") }) : t("noWorkers");
      timer = setTimeout(load, INTERVAL);
    } catch (error) { if (!closed) showError(error, () => openWorkers({ main, showError })); }
  }
  load();
  return () => { closed = true; clearTimeout(timer); };
}

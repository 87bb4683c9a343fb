// The columns of a run, as the server declares them: headings, formats, and the part of the page that shows each.

import * as api from "./api.js";
import { h } from "./dom.js";
import * as format from "./format.js";
import { pill } from "./pills.js";
import { language, t } from "./texts.js";

const FORMATS = { moment: format.moment, seconds: format.duration, dollars: format.money, count: format.number, bytes: format.number };
const NUMBERS = new Set(["seconds", "dollars", "count", "bytes"]);

let columns = [];

export async function loadColumns() { columns = (await api.columns()).columns; }

// The columns of lists, except those that are shown in another place.
export const listed = (excluded) => columns.filter((column) => column.priority && !excluded.has(column.name));
export const isNumber = (column) => NUMBERS.has(column.kind);
export const title = (column) => (column.name === "output_tokens" ? t("tokens") : heading(column));
// "Persona · User": a column of the list with another one below its value.
export const titleOfTwo = (column, below) => [column, ...columns.filter((other) => other.name === below)].map(title).join(" · ");
const heading = (column) => column.title[language() === "zh" ? 1 : 0];

export function value(column, run) {
  const found = run[column.name];
  if (found === null || found === undefined || found === "") return format.NONE;
  if (column.name === "status") return pill(run.status, run.code);
  if (column.name === "conversation_id") return h("a", { href: `#/runs?conversation=${encodeURIComponent(found)}` }, found);
  if (column.name === "tokens_estimated") return t(found ? "byUs" : "byProvider");
  if (column.kind === "flag") return t(found ? "yes" : "no");
  return FORMATS[column.kind] ? FORMATS[column.kind](found) : String(found);
}

export const tokens = (run) => (run.output_tokens === null ? format.NONE : `${run.tokens_estimated ? "≈" : ""}${format.number(run.input_tokens)} → ${format.number(run.output_tokens)}`);

// The pairs of heading and value that one tab of a run lists.
export const pairs = (tab, run) => columns.filter((column) => column.tab === tab).map((column) => [heading(column), value(column, run)]);

// Status of a run: a colour, an icon and a word.

import { h, icon } from "./dom.js";
import { t } from "./texts.js";

const STATES = new Set(["complete", "error", "timeout", "cancelled", "processing", "input_required"]);
export const isInProgress = (status) => status === "processing" || status === "input_required";

export function pill(status, code = null) {
  const known = STATES.has(status) ? status : "processing";
  const more = code && code !== status ? code : null;
  return h("span", { class: `pill ${known}`, title: more }, icon(known), h("span", {}, STATES.has(status) ? t(status) : status));
}

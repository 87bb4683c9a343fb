// DOM nodes. Strings are inserted as text: nothing here turns a string into markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "selected") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
export const s = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

export const $ = (id) => document.getElementById(id);
export function announce(text) { $("announce").textContent = text; }

const ICONS = {
  complete: "m5 12.5 4.5 4.5L19 7.5", error: "M12 7v6m0 4v.01", timeout: "M12 7v5l3 2", cancelled: "M8 12h8",
  input_required: "M9.5 9.5a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.1.9-1.1 1.8m0 3v.01", processing: "M12 5a7 7 0 1 1-7 7", back: "m14 6-6 6 6 6", copy: "M9 9h10v10H9zM5 15V5h10", search: "m20 20-4.2-4.2M11 17a6 6 0 1 0 0-12 6 6 0 0 0 0 12",
  close: "m6 6 12 12M18 6 6 18", left: "m14 6-6 6 6 6", right: "m10 6 6 6-6 6", plus: "M12 6v12M6 12h12", minus: "M6 12h12", logout: "M14 5H6v14h8m-3-7h9m-3-3 3 3-3 3",
  more: "M12 6v.01M12 12v.01M12 18v.01",
  bars: "M6 17v-6M12 17V6M18 17v-4",
};
export function icon(name, className = "") {
  return s("svg", { class: `icon ${className}`, viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: ICONS[name] ?? ICONS.error }));
}

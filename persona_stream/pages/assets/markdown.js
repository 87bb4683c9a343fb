// Markdown of answers, rendered while it arrives.
//
// Invariants:
//   Only nodes that DOMPurify returned enter the document; raw HTML is shown as text, and nothing is fetched.
//   A block that is followed by another one is final. Only the open block, the last one, is rendered again, and its
//   nodes are changed in place, so that a selection or a scroll position in it survives.
//   The time per character is bounded for any text: nesting, and the parts in which emphasis is searched, are limited.

import { Lexer, Parser, Renderer } from "./marked.js";
import "./purify.js";   // defines DOMPurify, and its Trusted Types policy

const MAX_DEPTH = 12;                  // of nested lists and quotes; deeper ones are text
const MAX_INLINE_CHARACTERS = 4096;    // of a paragraph or cell whose emphasis and links are rendered
const MAX_INLINE_MARKS = 300;          // in such a part: emphasis costs the square of their number
const MAX_BLOCK_CHARACTERS = 65_536;   // of an open block; the rest of a larger one is text, unless it is code
const FEED_CHARACTERS = 32_768;
const PAUSE_PER_COST = 8;              // an expensive block is rendered less often
const MARKS = /[*_~[\]`!<]/g;
const FENCE = /^ {0,3}(```|~~~)/;
const LINK = /^(https?:|mailto:)/i;
const RASTER_IMAGE = /^data:image\/(png|gif|jpeg|webp);/i;
const TAGS = ["a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "img", "li", "ol", "p", "pre", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"];
const SANITIZER = { ALLOWED_TAGS: TAGS, ALLOWED_ATTR: ["align", "alt", "class", "href", "src", "start", "title"], ALLOW_DATA_ATTR: false, ALLOW_ARIA_ATTR: false, RETURN_DOM_FRAGMENT: true };

const escapeHtml = (text) => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

class BoundedLexer extends Lexer {
  depth = 0;

  blockTokens(text, tokens = [], ...rest) {
    if (this.depth >= MAX_DEPTH) {
      tokens.push({ type: "text", raw: text, text });
      return tokens;
    }
    this.depth += 1;
    try { return super.blockTokens(text, tokens, ...rest); } finally { this.depth -= 1; }
  }

  inlineTokens(text, tokens = []) {
    if (text.length <= MAX_INLINE_CHARACTERS && (text.match(MARKS)?.length ?? 0) <= MAX_INLINE_MARKS) return super.inlineTokens(text, tokens);
    tokens.push({ type: "text", raw: text, text, escaped: false });
    return tokens;
  }
}

class TextualRenderer extends Renderer {
  html({ text, block }) { return block ? `<p>${escapeHtml(text.trim())}</p>` : escapeHtml(text); }

  // An image of another host would tell it that the answer was read.
  image({ href, text }) {
    if (RASTER_IMAGE.test(href)) return `<img src="${escapeHtml(href)}" alt="${escapeHtml(text)}">`;
    return `<a href="${escapeHtml(href)}">${escapeHtml(text || href)}</a>`;
  }

  checkbox({ checked }) { return checked ? "☑ " : "☐ "; }

  // The page has headings of its own above the answer's.
  heading({ tokens, depth }) {
    const tag = `h${Math.min(6, depth + 2)}`;
    return `<${tag}>${this.parser.parseInline(tokens)}</${tag}>`;
  }
}

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  const href = node.getAttribute("href");
  if (node.nodeName === "A" && href !== null) {
    if (LINK.test(href)) for (const [name, value] of [["target", "_blank"], ["rel", "noopener noreferrer"]]) node.setAttribute(name, value);
    else node.removeAttribute("href");
  }
  if (node.nodeName === "IMG" && !RASTER_IMAGE.test(node.getAttribute("src") ?? "")) node.remove();
});

const STYLE = `
  .md { white-space: normal; overflow-wrap: anywhere; }
  .md-raw { white-space: pre-wrap; }
  .md > :first-child { margin-top: 0; }
  .md > :last-child { margin-bottom: 0; }
  .md :where(p, ul, ol, blockquote, hr, .md-code, .md-table) { margin: 0 0 .85em; }
  .md :is(h3, h4, h5, h6) { margin: 1.4em 0 .5em; padding: 0; font-weight: 650; line-height: 1.35; letter-spacing: -.01em; }
  .md h3 { font-size: 1.22em; } .md h4 { font-size: 1.1em; } .md :is(h5, h6) { font-size: 1em; }
  .md :is(ul, ol) { padding: 0 0 0 1.6em; }
  /* As in a tight list: a list that becomes loose while it arrives does not move. */
  .md li { margin: .25em 0; }
  .md li > p { margin: 0; }
  .md li > p + p, .md li > :is(ul, ol) { margin: .25em 0 0; }
  .md blockquote { padding: 0 0 0 1em; border-left: 3px solid var(--line); color: var(--muted); }
  .md blockquote > :last-child { margin-bottom: 0; }
  .md hr { border: 0; border-top: 1px solid var(--line); }
  .md a { color: var(--accent); text-decoration: underline; text-underline-offset: 2px; }
  .md strong { font-weight: 650; }
  .md img { max-width: 100%; }
  .md code { font: .875em/1.55 var(--mono); background: var(--sunken); border-radius: 5px; padding: .12em .32em; }
  .md-code { border: 1px solid var(--line); border-radius: 10px; overflow: hidden; background: var(--sunken); }
  .md-code-top { display: flex; align-items: center; justify-content: space-between; min-height: 34px; padding: 0 6px 0 14px; border-bottom: 1px solid var(--line); font: 12.5px/1.4 var(--sans); color: var(--muted); }
  .md-copy { min-height: 28px; padding: 0 9px; border-radius: 7px; color: inherit; }
  .md-copy:hover { background: var(--surface); color: var(--text); }
  .md-code pre { margin: 0; padding: 12px 14px; overflow-x: auto; font: .875em/1.6 var(--mono); }
  .md-code pre code { font: inherit; padding: 0; background: none; white-space: pre; overflow-wrap: normal; }
  .md-table { overflow-x: auto; border: 1px solid var(--line); border-radius: 10px; }
  /* Columns of equal width: they do not move when another row arrives. */
  .md-table table { table-layout: fixed; border-collapse: collapse; width: 100%; min-width: calc(var(--columns) * 7rem); font-size: .94em; line-height: 1.5; }
  .md-table :is(th, td) { padding: 7px 12px; text-align: start; vertical-align: top; border-bottom: 1px solid var(--line); }
  .md-table th { font-weight: 600; background: var(--sunken); }
  .md-table :is(th, td)[align="right"] { text-align: right; } .md-table :is(th, td)[align="center"] { text-align: center; }
  .md-table tbody tr:last-child td { border-bottom: 0; }
`;
const sheet = new CSSStyleSheet();
sheet.replaceSync(STYLE);
document.adoptedStyleSheets.push(sheet);

function element(tag, className, ...children) {
  const node = document.createElement(tag);
  node.className = className;
  node.append(...children);
  return node;
}

// Code gets a header with its language and a button; tables get a box in which they scroll.
function decorate(fragment, label) {
  for (const code of fragment.querySelectorAll("pre > code")) {
    const language = /(?:^|\s)language-(\S+)/.exec(code.className)?.[1] ?? "";
    const button = element("button", "md-copy", label);
    button.type = "button";
    const pre = code.parentElement;
    const box = element("div", "md-code");
    pre.replaceWith(box);
    pre.tabIndex = 0;   // a scrollable area is reachable by keyboard
    box.append(element("div", "md-code-top", element("span", "", language.slice(0, 30)), button), pre);
  }
  for (const table of fragment.querySelectorAll("table")) {
    const box = element("div", "md-table");
    table.replaceWith(box);
    box.tabIndex = 0;
    box.append(table);
    table.style.setProperty("--columns", String(table.rows[0]?.cells.length ?? 1));
  }
  return fragment;
}

function render(tokens, label) {
  const html = new Parser({ renderer: new TextualRenderer() }).parse(tokens);
  const fragment = DOMPurify.sanitize(html, SANITIZER);
  for (const node of [...fragment.childNodes]) if (node.nodeType === Node.TEXT_NODE && !node.data.trim()) node.remove();
  return decorate(fragment, label);
}

function haveSameTag(a, b) {
  return a.nodeName === b.nodeName && a.attributes.length === b.attributes.length
    && [...a.attributes].every(({ name, value }) => b.getAttribute(name) === value);
}

// Changes the nodes from `first` to the end of `parent` into those of `fragment`, with as few operations as possible.
function morph(parent, first, fragment) {
  let old = first;
  for (const fresh of [...fragment.childNodes]) {
    if (!old) {
      parent.append(fresh);
      continue;
    }
    const next = old.nextSibling;
    if (old.nodeType === Node.TEXT_NODE && fresh.nodeType === Node.TEXT_NODE) {
      if (fresh.data.startsWith(old.data)) old.appendData(fresh.data.slice(old.data.length));
      else old.data = fresh.data;
    } else if (haveSameTag(old, fresh)) {
      morph(old, old.firstChild, fresh);
    } else {
      old.replaceWith(fresh);
    }
    old = next;
  }
  while (old) {
    const next = old.nextSibling;
    old.remove();
    old = next;
  }
}

/** View of a growing Markdown text in an element. */
export class MarkdownView {
  #node; #options; #source = ""; #open = 0; #links = Object.create(null); #fed = 0; #closedNodes = 0; #rest = null;
  #isRaw; #frame = 0; #notBefore = 0; #found = this.#links;

  /**
   * @param node the element, which the view fills.
   * @param options `copyLabel`: the text of the button of a code block; `copy(text, button)`: copies; `raw`: whether
   *   the source is shown; `onRender`: called after the element has changed.
   */
  constructor(node, options) {
    this.#node = node;
    this.#options = options;
    this.#isRaw = Boolean(options.raw);
    node.classList.add("md");
    node.classList.toggle("md-raw", this.#isRaw);
    node.addEventListener("click", (event) => {
      const button = event.target.closest?.(".md-copy");
      if (button) options.copy(button.closest(".md-code").querySelector("code").textContent, button);
    });
  }

  /** Appends text; it is shown with the next frame. */
  append(text) {
    this.#source += text;
    this.#frame ||= requestAnimationFrame((time) => this.#onFrame(time));
  }

  /** Shows all text at once. */
  flush() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#update();
  }

  /** Ends the text: references that were defined below their use become links. */
  finish() {
    this.flush();
    if (this.#isRaw || !Object.keys(this.#found).length) return;
    this.#links = this.#found;
    this.#restart();
    this.#update();
  }

  /** Shows the source instead of the rendered text, or the reverse. */
  set raw(isRaw) {
    this.#isRaw = isRaw;
    this.#node.classList.toggle("md-raw", isRaw);
    this.#restart();
    this.flush();
  }

  get raw() { return this.#isRaw; }

  /** Forgets the text. */
  reset() {
    this.#source = "";
    this.#links = Object.create(null);
    this.#restart();
  }

  /** Replaces the texts of the buttons. */
  set copyLabel(label) {
    this.#options.copyLabel = label;
    for (const button of this.#node.querySelectorAll(".md-copy")) button.textContent = label;
  }

  #restart() {
    this.#node.replaceChildren();
    this.#open = 0;
    this.#fed = 0;
    this.#closedNodes = 0;
    this.#rest = null;
  }

  #onFrame(time) {
    this.#frame = 0;
    if (time < this.#notBefore) {
      this.#frame = requestAnimationFrame((later) => this.#onFrame(later));
      return;
    }
    const began = performance.now();
    this.#update();
    this.#notBefore = performance.now() + PAUSE_PER_COST * (performance.now() - began) - 16;
  }

  #update() {
    if (this.#isRaw) {
      const text = this.#node.firstChild ?? this.#node.appendChild(document.createTextNode(""));
      text.appendData(this.#source.slice(text.length));
    } else {
      // A long text that is set at once is fed in pieces, so that each open block stays small.
      let end = this.#fed;
      do {
        end = Math.min(this.#source.length, end + Math.max(FEED_CHARACTERS, end - this.#open));
        this.#renderTail(end);
      } while (end < this.#source.length);
      this.#fed = end;
    }
    this.#options.onRender?.();
  }

  #renderTail(end) {
    if (this.#rest) this.#appendRest(end);
    const tail = this.#source.slice(this.#open, end);
    if (!tail) return;
    const tokens = this.#lex(tail);
    const last = tokens.findLastIndex((token) => token.type !== "space");
    const closed = tokens.slice(0, last);
    const open = tokens.slice(Math.max(last, 0));
    if (closed.length) {
      this.#show(closed);
      for (const { type, tag, href, title } of closed) if (type === "def") this.#links[tag] ??= { href, title };
      this.#close(closed.reduce((sum, token) => sum + token.raw.length, 0));
    }
    this.#show(open);
    const length = end - this.#open;
    if (length <= MAX_BLOCK_CHARACTERS || FENCE.test(tail)) return;
    this.#rest = this.#node.appendChild(element("p", "md-raw", "")).appendChild(document.createTextNode(""));
    this.#close(length);
  }

  // The rest of a block that is too large, up to the next blank line.
  #appendRest(end) {
    const blank = this.#source.indexOf("\n\n", this.#open);
    const stop = blank < 0 || blank > end ? end : blank;
    this.#rest.appendData(this.#source.slice(this.#open, stop));
    this.#open = stop;
    if (stop < end) this.#rest = null;
  }

  #lex(tail) {
    const lexer = new BoundedLexer();
    // A definition in the open block may still change.
    this.#found = lexer.tokens.links = Object.assign(Object.create(null), this.#links);
    // The lexer would drop carriage returns, and its positions would no longer be those of the source.
    return lexer.lex(tail.replace(/\r\n/g, " \n").replace(/\r/g, "\n"));
  }

  #show(tokens) {
    morph(this.#node, this.#node.childNodes[this.#closedNodes] ?? null, render(tokens, this.#options.copyLabel));
  }

  #close(characters) {
    this.#open += characters;
    this.#closedNodes = this.#node.childNodes.length;
  }
}

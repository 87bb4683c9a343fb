// What the theme leaves out for assistive technology: the name of the search, and scrolling parts that can be reached from the keyboard.
document.addEventListener("DOMContentLoaded", () => {
  const name = document.querySelector("[data-md-component=search-query]").placeholder;
  document.querySelector("[data-md-component=search]").setAttribute("aria-label", name);
  const mark = () => document.querySelectorAll(".md-typeset__scrollwrap, p:has(> img[src$='.svg'])").forEach((scroller) => { scroller.tabIndex = 0; });
  mark();
  new MutationObserver(mark).observe(document.querySelector("article"), { childList: true, subtree: true });
});

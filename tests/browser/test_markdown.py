"""Markdown of answers: its rendering while it grows, and the limits of hostile text.

Most tests use the module of the pages directly, under the policy of the page.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.backend import MARKDOWN
from tests.browser.conftest import Visit
from tests.browser.serving import Server

VIEW = """
  const { MarkdownView } = await import('/assets/markdown.js');
  const host = document.createElement('div');
  host.className = 'answer';
  document.getElementById('turns').replaceChildren(host);
  const view = new MarkdownView(host, { copyLabel: 'Copy', copy() {} });
  const shown = (text) => { view.append(text); view.finish(); return host; };
"""

DOCUMENTS = [
    MARKDOWN,
    "# One\n\nTwo\n===\n\n    code\n\n* a\n* b\n\n  c\n\n1. x\n   - y\n\ntext\n***\nmore [a] and [b][a]\n\n"
    "[a]: https://a.example\n",
    "| a | b |\n|---|:-:|\n| 1 | `2|3` |\n| **4** |\n\n```js\nlet x = `y`;\n\n# code\n```\n> quote\nlazy\n>\n> - list",
    "carriage\r\nreturns\r\rand **bold\r\ntext**\n\n~~~\nopen fence\n\nwithout an end",
    "- a\n\n- b\n- c\n\n\n  d\n\ne\u2028f\tg  \nh\\\ni &amp; &copy; <b>&lt;</b> https://x.example/?a=b&c=d",
]


def run(page: Page, script: str, argument: Any = None) -> Any:
    """Run a script with a view; it returns its result."""
    return page.evaluate(f"async (argument) => {{ {VIEW} {script} }}", argument)


@pytest.fixture
def page(visit: Visit, server: Server) -> Page:
    """Return the page, connected."""
    return visit(server.page).connected().page


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_an_answer_is_rendered(visit: Visit, server: Server, scheme: str, width: int) -> None:
    """Headings, lists, code, tables and links; code is copied and scrolls; one switch shows the source."""
    chat = visit(server.page, color_scheme=scheme, viewport={"width": width, "height": 900}).connected()
    chat.ask("markdown")
    chat.wait_for_text(300)
    chat.shoot(f"markdown-{scheme}-{width}-streaming")
    chat.ended()
    chat.page.evaluate("document.getElementById('conversation').scrollTop = 0")
    chat.shoot(f"markdown-{scheme}-{width}")
    answer = chat.answer
    expect(answer.get_by_role("heading", name="Sorting", level=3)).to_be_visible()
    expect(answer.locator("ol > li")).to_have_count(3)
    expect(answer.locator("li li")).to_have_count(2)
    expect(answer.get_by_role("cell", name="merge sort")).to_be_visible()
    link = answer.get_by_role("link", name="Wikipedia")
    expect(link).to_have_attribute("href", "https://en.wikipedia.org/wiki/Sorting")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    code = answer.locator("pre")
    assert code.evaluate("node => node.scrollWidth > node.clientWidth")
    assert chat.page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    answer.get_by_role("button", name="Copy").click()
    expect(answer.get_by_role("button", name="Copied")).to_be_visible()
    raw = chat.turn.get_by_role("button", name="Raw")
    raw.click()
    expect(raw).to_have_attribute("aria-pressed", "true")
    assert answer.text_content() == MARKDOWN
    chat.shoot(f"markdown-{scheme}-{width}-raw")
    chat.page.reload()
    assert answer.text_content() == MARKDOWN
    chat.turn.get_by_role("button", name="Raw").click()
    expect(answer.get_by_role("heading", name="Sorting")).to_be_visible()


def test_any_chunks_lead_to_the_same_nodes(page: Page) -> None:
    """As the whole text at once, for every way of cutting it."""
    script = """
      const differing = [];
      for (const text of argument) {
        for (const size of [1, 2, 3, 7, 20, 64]) {
          const other = document.createElement('div');
          const grown = new MarkdownView(other, { copyLabel: 'Copy', copy() {} });
          for (let at = 0; at < text.length; at += size) { grown.append(text.slice(at, at + size)); grown.flush(); }
          grown.finish();
          const once = document.createElement('div');
          const single = new MarkdownView(once, { copyLabel: 'Copy', copy() {} });
          single.append(text); single.finish();
          if (other.innerHTML !== once.innerHTML) differing.push([size, other.innerHTML, once.innerHTML]);
        }
      }
      return differing;"""
    assert run(page, script, DOCUMENTS) == []


def test_closed_blocks_and_selections_stay(page: Page) -> None:
    """Only the open block changes, and in place."""
    script = """
      view.append('first\\n\\n```\\none\\n'); view.flush();
      const [first, code] = [host.firstChild, host.querySelector('code').firstChild];
      getSelection().setBaseAndExtent(code, 0, code, 3);
      view.append('two\\n```\\n\\nlast'); view.finish();
      const kept = [host.firstChild === first, host.querySelector('code').firstChild === code];
      return [...kept, getSelection().toString(), code.data];"""
    assert run(page, script) == [True, True, "one", "one\ntwo\n"]


HOSTILE = [
    "<img src=x onerror=alert(1)><script>alert(1)</script><svg onload=alert(1)><iframe src=//evil.example></iframe>",
    "[a](javascript:alert(1)) [b](&#106;avascript:alert(1)) [c](vbscript:x) [d](data:text/html,x) [e](//evil.example)",
    '![beacon](https://evil.example/a.png) ![svg](data:image/svg+xml,<svg/onload=alert(1)>) ![x](x"onerror=alert(1))',
    '[x](https://a.example ""onmouseover=alert(1)") <https://b.example/?"><b>>',
    "[![y](https://evil.example/y.png)](javascript:1)",
    "```html onload=alert(1)\n</code></pre><script>alert(1)</script>\n```\n",
    "| <img src=x onerror=alert(1)> |\n|---|\n| </td><script>1</script> |",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<form><input name=attributes><input name=nodeName></form>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markdown_is_inert(page: Page, server: Server, text: str) -> None:
    """HTML is text, scripts do not run, links lead to the web only, and no other host is asked."""
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    found = run(
        page,
        """
        shown(argument);
        await new Promise((resolve) => { setTimeout(resolve, 50); });
        const nodes = [...host.querySelectorAll('*')];
        return {
          tags: [...new Set(nodes.map((node) => node.localName))],
          handlers: nodes.flatMap((node) => [...node.attributes]).filter(({name}) => name.startsWith('on')).length,
          links: nodes.filter((node) => node.hasAttribute('href')).map((node) => node.protocol),
          sources: nodes.filter((node) => node.hasAttribute('src')).length,
        };""",
        text,
    )
    assert not {"script", "img", "iframe", "svg", "math", "form", "input", "style"} & set(found["tags"])
    assert (found["handlers"], found["sources"]) == (0, 0)
    assert set(found["links"]) <= {"http:", "https:", "mailto:"}
    assert [url for url in requested if not url.startswith(server.address)] == []


PATTERNS = {
    "quotes": ">", "lists": "- ", "numbers": "1) ", "emphasis": "*a_", "brackets": "[![", "underscores": "__a ",
    "nested lists": "- a\n  ", "table cells": "|a", "table": "|a|b|\n|-|-|\n", "definitions": "[a]: b\n",
    "html": "<div>", "fence": "```\nx\n", "paragraph": "*a_\n", "backticks": "`a``b", "links": "[a](b ",
}  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_a_mebibyte_of_any_pattern_is_shown(page: Page, pattern: str) -> None:
    """The time per character is bounded, and the text after it is shown."""
    script = """
      const text = argument.repeat(Math.ceil(2 ** 20 / argument.length)) + '\\n\\n\\n```\\n\\nthe end';
      const began = performance.now();
      for (let at = 0; at < text.length; at += 2 ** 18) { view.append(text.slice(at, at + 2 ** 18)); view.flush(); }
      return [host.textContent.trim().slice(-7), Math.round(performance.now() - began)];"""
    end, milliseconds = run(page, script, pattern)
    print(f"{pattern!r}: {milliseconds} ms")
    assert end == "the end"


def test_twenty_thousand_characters_stream_without_a_layout_shift(page: Page) -> None:
    """Nothing that is shown moves; a chunk at the end costs as much as one at the beginning."""
    text = (MARKDOWN * (20_000 // len(MARKDOWN) + 1))[:20_000]
    script = """
      const shifts = [];
      new PerformanceObserver((list) => shifts.push(...list.getEntries())).observe({ type: 'layout-shift' });
      document.getElementById('welcome').hidden = true;
      await new Promise(requestAnimationFrame);
      const box = document.getElementById('conversation');
      const times = [];
      for (let at = 0; at < argument.length; at += 20) {
        const began = performance.now();
        view.append(argument.slice(at, at + 20));
        view.flush();
        box.scrollTop = box.scrollHeight;
        box.offsetHeight;
        times.push(performance.now() - began);
        await new Promise(requestAnimationFrame);
      }
      await new Promise((resolve) => { setTimeout(resolve, 100); });
      const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
      return {
        shift: shifts.reduce((sum, entry) => sum + entry.value, 0),
        sources: shifts.flatMap((entry) => entry.sources.map(({ node }) => node?.data ?? node?.outerHTML)).slice(0, 5),
        begin: median(times.slice(0, 100)), end: median(times.slice(-100)),
      };"""
    found = run(page, script, text)
    print(json.dumps(found))
    # A right-aligned cell moves its text while it grows. Web Vitals call up to 0.1 good.
    assert found["shift"] < 0.01, found["sources"]
    assert found["end"] < 100  # milliseconds; about 3 on an idle machine

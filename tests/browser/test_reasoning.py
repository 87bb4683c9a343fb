"""Reasoning in a collapsible part of its own, on request."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.browser.backend import REASONING, SHORT, STORY, THOUGHTS
from tests.browser.conftest import Visit
from tests.browser.cutting_proxy import CuttingProxy
from tests.browser.page import SMART, Conversation
from tests.browser.serving import Server


def test_reasoning_is_requested_and_collapsed(visit: Visit, server: Server) -> None:
    """It is shown only if the option is checked, starts collapsed, and is never mixed with the answer."""
    chat = visit(server.page).connected()
    chat.ask("think")
    assert chat.ended().text() == SHORT
    expect(chat.reasoning).to_be_hidden()
    chat.page.locator("#options-toggle").click()
    chat.page.get_by_label("Show reasoning").check()
    chat.page.locator("#options-toggle").click()
    with chat.page.expect_request(SMART) as sent:
        chat.ask("think")
    assert json.loads(sent.value.post_data or "")["reasoning"] is True
    assert chat.ended().text() == SHORT
    expect(chat.reasoning.locator("div")).to_be_hidden()
    chat.reasoning.locator("summary").click()
    expect(chat.reasoning.locator("div")).to_be_visible()
    assert chat.thoughts() == REASONING


def test_reasoning_is_shown_until_the_answer_begins(visit: Visit, server: Server) -> None:
    """Then it is collapsed, unless the user has expanded it."""
    with CuttingProxy(server.port) as proxy:
        proxy.chunks = 4
        chat = visit(f"{proxy.address}/#token={server.token}").connected()
        chat.ask_for_reasoning()
        chat.ask("ponder")
        chat.wait_for_thoughts(30)
        expect(chat.reasoning.locator("div")).to_be_visible()
        chat.shoot("reasoning-streaming")
        proxy.release()
        chat.wait_for_text()
        expect(chat.reasoning.locator("div")).to_be_hidden()
        chat.ended()


def test_reasoning_is_never_parsed_as_markup(visit: Visit, server: Server) -> None:
    """To the character, on every stream."""
    chat = visit(server.page).connected()
    chat.ask_for_reasoning()
    for endpoint in ("smart", "advanced", "basic"):
        chat.ask("ponder", endpoint=endpoint)
        assert (chat.ended().text(), chat.thoughts()) == (STORY, THOUGHTS)
        assert chat.reasoning.locator("div *").count() == 0


def test_reasoning_is_accessible(visit: Visit, server: Server) -> None:
    """Checkbox and part have names and work with Space and Enter; growing text is not announced."""
    chat = visit(server.page).connected()
    page = chat.page
    page.locator("#options-toggle").focus()
    page.keyboard.press("Enter")
    box = page.get_by_role("checkbox", name="Show reasoning")
    box.focus()
    page.keyboard.press("Space")
    expect(box).to_be_checked()
    chat.ask("think")
    chat.ended()
    part = chat.turn.get_by_role("group")
    expect(part).to_have_count(1)
    expect(part.get_by_text("Reasoning", exact=True)).to_be_visible()
    chat.turn.get_by_role("button", name="Copy").focus()
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    page.keyboard.press("Enter")
    expect(part.get_by_text(REASONING)).to_be_visible()
    page.keyboard.press("Enter")
    expect(part.get_by_text(REASONING)).to_be_hidden()
    assert page.evaluate("document.querySelector('.reasoning').closest('[aria-live]')") is None


def test_expanding_reasoning_is_remembered(visit: Visit, server: Server) -> None:
    """Over a reload, and for the next question."""
    chat = visit(server.page).connected()
    chat.ask_for_reasoning()
    chat.ask("think")
    chat.ended()
    chat.ask("think")
    chat.ended()
    chat.reasoning.locator("summary").click()
    expect(chat.reasoning.locator("div")).to_be_visible()
    chat.page.reload()
    expect(chat.page.locator("#reasoning")).to_be_checked()
    shown = chat.page.locator(".reasoning div")
    expect(shown.last).to_be_visible()
    expect(shown.first).to_be_hidden()
    assert chat.thoughts() == REASONING
    chat.ask("think")
    expect(chat.reasoning.locator("div")).to_be_visible()
    chat.ended()


def test_expanding_reasoning_is_remembered_when_the_page_is_left_at_once(visit: Visit, server: Server) -> None:
    """The toggle event comes in a later task, for which a reload leaves no time."""
    chat = visit(server.page).connected()
    chat.ask_for_reasoning()
    chat.ask("think")
    chat.ended()
    leave = "document.querySelector('.reasoning summary').click(); dispatchEvent(new Event('pagehide'));"
    kept = "JSON.parse(sessionStorage.getItem('persona_stream.conversation')).turns.map((turn) => turn.reasoningOpen)"
    assert chat.page.evaluate(f"() => {{ {leave} return {kept}; }}") == [True]
    assert chat.page.evaluate(f"() => {{ {leave} return {kept}; }}") == [False]


def test_reasoning_is_resumed_after_a_cut_and_a_reload(visit: Visit, server: Server) -> None:
    """It has positions in the run like the answer: nothing is missing, and nothing is repeated."""
    with CuttingProxy(server.port) as proxy:
        proxy.chunks = 4
        chat = visit(f"{proxy.address}/#token={server.token}", requests_fail=True).connected()
        chat.ask_for_reasoning()
        chat.ask("ponder wait=0.1")
        held = chat.wait_for_thoughts(30)
        assert THOUGHTS.startswith(held)
        expect(chat.status).to_contain_text("Thinking…")
        assert proxy.cut()
        longer = chat.wait_for_thoughts(len(held) + 30)
        assert THOUGHTS.startswith(longer)
        with chat.page.expect_request("**/api/runs/*/events*") as resumed:
            chat.page.reload()
        facts, characters = resumed.value.headers["last-event-id"].rsplit("/", 1)[1].split(".")
        assert (facts, int(characters)) == ("2", len(longer))
        held = chat.wait_for_thoughts(len(longer) + 30)
        assert THOUGHTS.startswith(held)
        assert chat.text() == ""
        proxy.release()
        assert (chat.ended().text(), chat.thoughts()) == (STORY, THOUGHTS)
        chat.page.reload()
        assert (chat.text(), chat.thoughts()) == (STORY, THOUGHTS)


@pytest.mark.heavy
@pytest.mark.parametrize(("scheme", "locale"), [("light", "en-US"), ("dark", "zh-CN")])
def test_screenshots(visit: Visit, server: Server, scheme: str, locale: str) -> None:
    """Collapsed and expanded, on a desktop and on a phone, in both colour schemes and languages."""
    wide, narrow = {"width": 1280, "height": 800}, {"width": 390, "height": 780}
    chat = visit(server.page, color_scheme=scheme, locale=locale).connected()
    chat.page.locator("#options-toggle").click()
    chat.page.locator("#reasoning").check()
    chat.shoot(f"reasoning-{scheme}-option")
    chat.page.locator("#options-toggle").click()
    chat.ask("think")
    chat.ended()
    _shoot(chat, f"reasoning-{scheme}-folded")
    chat.reasoning.locator("summary").click()
    for name, message in (("short", "think"), ("long", "ponder")):
        chat.ask(message)
        chat.ended()
        expect(chat.reasoning.locator("div")).to_be_visible()
        for size, viewport in (("desktop", wide), ("phone", narrow)):
            chat.page.set_viewport_size(viewport)  # type: ignore[arg-type]  # a mapping of its two keys
            assert chat.page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
            _shoot(chat, f"reasoning-{scheme}-{name}-{size}")
        chat.page.set_viewport_size(wide)  # type: ignore[arg-type]  # the same


def _shoot(chat: Conversation, name: str) -> None:
    chat.turn.locator(".question").scroll_into_view_if_needed()
    chat.shoot(name)

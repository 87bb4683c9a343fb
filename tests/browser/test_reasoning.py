"""What a model thinks is shown to those who ask for it, in a part that folds, and never among the answer."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.browser.backend import REASONING, SHORT, STORY, THOUGHTS
from tests.browser.conftest import Visit
from tests.browser.cutting_proxy import CuttingProxy
from tests.browser.page import SMART, Conversation
from tests.browser.serving import Server


def test_it_is_asked_for_and_folds(visit: Visit, server: Server) -> None:
    """Without the box there is none of it; with it, it is folded away, opens, and never mixes with the answer."""
    chat = visit(server.page).connected()
    chat.ask("think")
    assert chat.ended().text() == SHORT
    expect(chat.reasoning).to_be_hidden()
    chat.page.locator("#options-toggle").click()
    chat.page.get_by_label("Show the reasoning too").check()
    chat.page.locator("#options-toggle").click()
    with chat.page.expect_request(SMART) as sent:
        chat.ask("think")
    assert json.loads(sent.value.post_data or "")["reasoning"] is True
    assert chat.ended().text() == SHORT
    expect(chat.reasoning.locator("div")).to_be_hidden()
    chat.reasoning.locator("summary").click()
    expect(chat.reasoning.locator("div")).to_be_visible()
    assert chat.thoughts() == REASONING


def test_it_is_text_and_never_markup(visit: Visit, server: Server) -> None:
    """To the character, on every stream."""
    chat = visit(server.page).connected()
    chat.ask_for_reasoning()
    for endpoint in ("smart", "advanced", "basic"):
        chat.ask("ponder", endpoint=endpoint)
        assert (chat.ended().text(), chat.thoughts()) == (STORY, THOUGHTS)
        assert chat.reasoning.locator("div *").count() == 0


def test_by_keyboard_and_by_ear(visit: Visit, server: Server) -> None:
    """The box and the part have names, and Space and Enter work them; what comes in does not talk."""
    chat = visit(server.page).connected()
    page = chat.page
    page.locator("#options-toggle").focus()
    page.keyboard.press("Enter")
    box = page.get_by_role("checkbox", name="Show the reasoning too")
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


def test_it_stays_as_it_was_left(visit: Visit, server: Server) -> None:
    """Folded or not is kept over a reload, and what is asked next begins as the last one was left."""
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


def test_how_it_was_left_is_kept_though_the_page_goes_at_once(visit: Visit, server: Server) -> None:
    """The browser tells of a fold in a later task, for which a page that is reloaded has no time."""
    chat = visit(server.page).connected()
    chat.ask_for_reasoning()
    chat.ask("think")
    chat.ended()
    leave = "document.querySelector('.reasoning summary').click(); dispatchEvent(new Event('pagehide'));"
    kept = "JSON.parse(sessionStorage.getItem('persona_stream.conversation')).turns.map((turn) => turn.unfolded)"
    assert chat.page.evaluate(f"() => {{ {leave} return {kept}; }}") == [True]
    assert chat.page.evaluate(f"() => {{ {leave} return {kept}; }}") == [False]


def test_cut_and_reloaded_in_the_middle_of_a_thought(visit: Visit, server: Server) -> None:
    """Reasoning has places in the run like the answer: it goes on where it was, and nothing comes twice."""
    with CuttingProxy(server.port) as proxy:
        proxy.pieces = 4
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
def test_pictures(visit: Visit, server: Server, scheme: str, locale: str) -> None:
    """Folded and not, on a desktop and on a phone, in the reader's colours and language, for somebody to look at."""
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

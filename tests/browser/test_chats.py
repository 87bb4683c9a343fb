"""Earlier questions: the list of past chats, editing a question, and skipping the delivery of an answer."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.backend import SHORT, STORY
from tests.browser.conftest import Visit
from tests.browser.dashboard import accessibility_faults
from tests.browser.serving import Server, serving


@pytest.fixture(scope="module")
def keeping(tmp_path_factory: pytest.TempPathFactory):
    """A server that keeps conversations."""
    folder = tmp_path_factory.mktemp("keeping")
    with serving(folder, "--backend", "tests.browser.backend:answer", "--database-url=sqlite:///") as server:
        yield server


def test_a_past_chat_is_opened_and_continued(visit: Visit, keeping: Server) -> None:
    """With its questions, answers and errors; the next question belongs to it."""
    chat = visit(keeping.page, requests_fail=True).connected()
    page = chat.page
    for message in ("first question", "crash", "story"):
        chat.ask(message)
        chat.ended()
    page.get_by_role("button", name="New chat").click()
    chat.ask("another chat")
    chat.ended()
    page.reload()
    chat.connected()
    page.get_by_role("button", name="Chats").click()
    rows = page.get_by_role("dialog", name="Chats").locator("li button")
    expect(rows.locator("b")).to_have_text(["another chat", "first question"])
    expect(rows.first).to_have_attribute("aria-current", "true")
    rows.nth(1).click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(chat.turns.locator(".question p")).to_have_text(["first question", "crash", "story"])
    expect(chat.turns.locator(".notice:visible")).to_have_count(1)
    assert page.evaluate("state.turns.map((turn) => turn.answer)") == [SHORT, "", STORY]
    continued = page.evaluate("state.turns[0].request.conversation_id")
    with page.expect_request("**/api/stream_chat_smart") as sent:
        chat.ask("hello")
    assert f'"conversation_id":"{continued}"' in (sent.value.post_data or "")
    chat.ended()


def test_a_server_without_conversations_says_so(visit: Visit, server: Server) -> None:
    """In the dialog, which Escape closes."""
    chat = visit(server.page, requests_fail=True).connected()
    chat.page.get_by_role("button", name="Chats").click()
    dialog = chat.page.get_by_role("dialog")
    expect(dialog).to_contain_text("This server keeps no conversations")
    chat.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_a_question_can_be_edited_and_asked_again(visit: Visit, server: Server) -> None:
    """It moves into the message; the old answer stays."""
    chat = visit(server.page).connected()
    chat.ask("hello")
    chat.ended()
    chat.turn.get_by_role("button", name="Edit question").click()
    expect(chat.message).to_have_value("hello")
    expect(chat.message).to_be_focused()
    chat.page.keyboard.type(" story")
    chat.page.keyboard.press("Enter")
    expect(chat.turns).to_have_count(2)
    assert chat.ended().text() == STORY


def test_the_delivery_of_an_answer_can_be_skipped(visit: Visit, server: Server) -> None:
    """The rest is there at once."""
    chat = visit(server.page).connected()
    chat.ask("story wait=0.1")
    chat.turn.get_by_role("button", name="Show all").click()
    assert chat.ended().text() == STORY
    expect(chat.turn.get_by_role("button", name="Show all")).to_be_hidden()
    chat.ask("hello")
    assert chat.ended().text() == SHORT


@pytest.mark.heavy
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_the_list_is_accessible(visit: Visit, keeping: Server, scheme: str, locale: str, width: int) -> None:
    """In both themes and languages, on a desktop and on a phone."""
    chat = visit(keeping.page, color_scheme=scheme, locale=locale, viewport={"width": width, "height": 800}).connected()
    chat.ask("hello")
    chat.ended()
    chat.page.locator("#chats-toggle").click()
    expect(chat.page.locator("#chats li").first).to_be_visible()
    assert accessibility_faults(chat.page) == []
    chat.shoot(f"chats-{scheme}-{locale[:2]}-{width}")

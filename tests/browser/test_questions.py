"""Questions of a backend to the user, on the page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.page import Conversation
from tests.browser.serving import Server, serving


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose backend asks the user."""
    options = ("--backend=tests.http.asking_backend:ask", "--database-url=off")
    with serving(tmp_path_factory.mktemp("asking"), *options) as server:
        yield server


@pytest.mark.parametrize("endpoint", ["smart", "basic", "websocket"])
def test_a_choice_is_a_button_and_survives_a_reload(visit: Visit, asking: Server, endpoint: str) -> None:
    """The answer continues the run, and stays beside its question."""
    chat = visit(asking.page).connected()
    chat.ask("which 100", endpoint=endpoint)
    box = chat.turn.locator(".ask")
    buttons = box.get_by_role("group", name="Waiting for your answer").get_by_role("button")
    expect(buttons).to_have_text(["a.txt", "b.txt"])
    expect(buttons.first).to_be_focused()
    chat.page.reload()
    expect(box).to_contain_text("Which file?")
    expect(box).to_contain_text("left to answer")
    chat.shoot(f"question-{endpoint}")
    buttons.last.click()
    chat.ended()
    assert chat.text() == "Let me see. You chose b.txt."
    expect(box).to_be_hidden()
    expect(chat.turn.get_by_role("list", name="Your replies")).to_have_text("Which file? b.txt")
    chat.page.reload()
    expect(chat.turn.get_by_role("list", name="Your replies")).to_have_text("Which file? b.txt")
    expect(box).to_be_hidden()


def test_a_text_is_sent_with_enter_in_chinese_and_dark(visit: Visit, asking: Server) -> None:
    """As it was typed: markup stays text."""
    chat = visit(asking.page, locale="zh-CN", color_scheme="dark", viewport={"width": 390, "height": 740}).connected()
    chat.ask("name 100")
    field = chat.turn.get_by_role("textbox", name="正在等待您的回答")
    expect(field).to_be_focused()
    expect(chat.turn.locator(".ask-left")).to_contain_text("请在")
    chat.shoot("question-zh-dark-phone")
    field.fill("<b>Ada</b>")
    field.press("Enter")
    chat.ended()
    assert chat.text() == "Hello, <b>Ada</b>!"


def test_a_question_closes_at_its_timeout(visit: Visit, asking: Server) -> None:
    """Without an answer, and without an error."""
    chat = visit(asking.page).connected()
    chat.ask("which 1")
    expect(chat.turn.locator(".ask")).to_be_visible()
    chat.ended()
    assert chat.text() == "Let me see. No file was chosen."
    expect(chat.turn.locator(".ask")).to_be_hidden()
    expect(chat.turn.locator(".replies")).to_be_hidden()


def test_a_question_that_was_answered_elsewhere_says_so(visit: Visit, asking: Server) -> None:
    """And an answer that does not arrive can be sent again."""
    chat: Conversation = visit(asking.page, requests_fail=True).connected()
    chat.ask("name 100")
    field = chat.turn.locator(".reply textarea")
    left = chat.turn.locator(".ask-left")
    chat.page.route("**/input", lambda route: route.abort())
    field.fill("Ada")
    field.press("Enter")
    expect(left).to_contain_text("Not sent")
    expect(field).to_have_value("Ada")
    chat.page.unroute("**/input")
    body = '{"success":false,"error":"It is closed","code":"conflict","status":"error","is_complete":true}'
    chat.instead("**/input", body, status=409, content_type="application/json")
    field.press("Enter")
    expect(left).to_have_text("This question is no longer open.")
    chat.page.unroute("**/input")
    field.press("Enter")
    chat.ended()
    assert chat.text() == "Hello, Ada!"


def test_stopping_closes_the_question(visit: Visit, asking: Server) -> None:
    """The run ends at once."""
    chat = visit(asking.page).connected()
    chat.ask("which")
    expect(chat.turn.locator(".ask")).to_be_visible()
    chat.send.click()
    chat.ended()
    expect(chat.turn.locator(".ask")).to_be_hidden()
    expect(chat.notice).to_contain_text("Stopped")

"""A server of one's own function, without personas: nothing to fill in but the question."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.page import SMART
from tests.browser.serving import Server


@pytest.mark.parametrize(
    ("locale", "title"), [("en-US", "Ask Sums"), ("zh-CN", "向 Sums 提问")], ids=["english", "chinese"]
)
def test_the_page_asks_for_the_question_alone(visit: Visit, server: Server, locale: str, title: str) -> None:
    """Title and ideas are the function's own; the request names no persona."""
    chat = visit(server.page, locale=locale).connected()
    page = chat.page
    expect(page.get_by_role("heading", level=2).first).to_have_text(title)
    expect(page.locator("#username")).to_be_hidden()
    expect(page.locator("#persona")).to_be_hidden()
    expect(page.locator(".card")).to_have_count(0)
    chat.shoot(f"own-function-{locale[:2]}")
    page.get_by_role("button", name="What is six times seven?").click()
    with page.expect_request(SMART) as sent:
        chat.message.press("Enter")
    assert "username" not in json.loads(sent.value.post_data or "")
    chat.ended()
    assert chat.text() == "The answer is 42."
    expect(chat.turn.locator(".who h2")).to_have_text("Sums")
    page.reload()
    expect(chat.turn.locator(".who h2")).to_have_text("Sums")


def test_an_empty_message_is_not_sent(visit: Visit, server: Server) -> None:
    """The focus stays in the message."""
    chat = visit(server.page).connected()
    chat.message.press("Enter")
    expect(chat.message).to_be_focused()
    expect(chat.page.locator("#announce")).to_have_text(re.compile("Enter a message"))
    expect(chat.turns).to_have_count(0)

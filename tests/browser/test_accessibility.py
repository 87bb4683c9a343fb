"""The page as axe-core judges it: every state, in both themes and languages."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.dashboard import ADMIN, accessibility_faults
from tests.browser.serving import Server

pytestmark = pytest.mark.heavy


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_no_state_of_the_page_has_a_serious_fault(
    visit: Visit, server: Server, demo: Server, scheme: str, locale: str, width: int
) -> None:
    """Welcome with personas and of a function, options, events, Markdown, an error, a question, no token."""
    options = {"color_scheme": scheme, "locale": locale, "viewport": {"width": width, "height": 800}}
    chat = visit(demo.page, **options).connected()
    expect(chat.page.locator(".card b").first).to_be_visible()
    assert accessibility_faults(chat.page) == []
    chat = visit(f"{server.address}/#token={ADMIN}", requests_fail=True, **options).connected()
    page = chat.page
    assert accessibility_faults(page) == []
    for button in ("#events-toggle", "#options-toggle", "#connection-toggle"):
        page.locator(button).click()
    assert accessibility_faults(page) == []
    for button in ("#events-toggle", "#options-toggle", "#connection-toggle"):
        page.locator(button).click()
    chat.ask("markdown")
    chat.ended()
    assert accessibility_faults(page) == []
    chat.ask("crash")
    chat.ended()
    chat.shoot(f"state-{scheme}-{locale[:2]}-{width}")
    assert accessibility_faults(page) == []
    chat.ask("report wait=8")
    expect(chat.status).to_be_visible()
    assert accessibility_faults(page) == []
    chat.ended()
    for question in ("choose", "name"):
        chat.ask(question)
        expect(chat.turn.locator(".ask")).to_be_visible()
        chat.shoot(f"{question}-{scheme}-{locale[:2]}-{width}")
        assert accessibility_faults(page) == []
        chat.send.click()
        chat.ended()
    chat = visit(f"{server.address}/", requests_fail=True, **options)
    expect(chat.page.locator("#language")).not_to_be_empty()  # the script sets the texts
    assert accessibility_faults(chat.page) == []

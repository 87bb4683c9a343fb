"""Layout, languages, accessibility, and the page as a local file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, takewhile
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.backend import SHORT, STORY
from tests.browser.conftest import Visit
from tests.browser.page import SMART
from tests.browser.serving import Server
from tests.server_process import ROOT

PAGE = ROOT / "streaming_test.html"
QUESTIONS = {"en-US": "What is your opinion on AI?", "zh-CN": "您怎么看人工智能？"}
PHONE: dict[str, Any] = {"is_mobile": True, "has_touch": True, "device_scale_factor": 2}


def overflow(page: Page) -> list[str]:
    """Return the elements that extend beyond the right edge of the window."""
    names: list[str] = page.evaluate(
        """() => document.scrollingElement.scrollWidth <= innerWidth ? [] :
             [...document.querySelectorAll('body *')]
               .filter(node => node.getBoundingClientRect().right > innerWidth + 1)
               .map(node => node.outerHTML.slice(0, 80))"""
    )
    return names


@pytest.mark.parametrize(("width", "height", "locale"), [(390, 780, "zh-CN"), (320, 568, "en-US")])
def test_nothing_overflows_on_a_phone(visit: Visit, demo: Server, width: int, height: int, locale: str) -> None:
    """From 320 pixels up, in any state of the page."""
    chat = visit(demo.page, viewport={"width": width, "height": height}, locale=locale, **PHONE).connected()
    page = chat.page
    name = f"phone-{width}-{locale[:2]}"
    expect(page.locator(".card b").first).to_be_visible()
    assert overflow(page) == []
    chat.shoot(f"{name}-welcome")
    chat.ask(QUESTIONS[locale])
    expect(chat.status).to_be_visible()
    page.wait_for_timeout(1_500)
    assert overflow(page) == []
    chat.shoot(f"{name}-waiting")
    chat.wait_for_text(60)
    for button in ("#events-toggle", "#options-toggle", "#connection-toggle"):
        page.locator(button).click()
        assert overflow(page) == []
        chat.shoot(f"{name}-{button[1:].removesuffix('-toggle')}")
        page.locator(button).click()
    chat.ended()
    assert overflow(page) == []
    chat.shoot(f"{name}-done")


@pytest.mark.heavy
@pytest.mark.parametrize(("scheme", "locale"), [("light", "en-US"), ("dark", "zh-CN")])
def test_screenshots_of_a_desktop(visit: Visit, demo: Server, scheme: str, locale: str) -> None:
    """The page has the user's colour scheme and language; each state is kept as a screenshot."""
    chat = visit(demo.page, color_scheme=scheme, locale=locale).connected()
    page = chat.page
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    lightness = sum(int(part) for part in re.findall(r"\d+", background)[:3]) / 3
    assert (lightness > 127) == (scheme == "light")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN" if locale == "zh-CN" else "en")
    welcome = "想问问谁？" if locale == "zh-CN" else "Who would you like to ask?"
    expect(page.get_by_role("heading", level=2).first).to_have_text(welcome)
    name = f"desktop-{scheme}-{locale[:2]}"
    expect(page.locator(".card b").first).to_be_visible()
    chat.shoot(f"{name}-welcome")
    chat.show_events()
    chat.ask(QUESTIONS[locale])
    page.wait_for_timeout(1_500)
    chat.shoot(f"{name}-waiting")
    chat.wait_for_text(60)
    chat.shoot(f"{name}-streaming")
    chat.ended()
    chat.shoot(f"{name}-done")


def test_the_language_can_be_switched(visit: Visit, server: Server) -> None:
    """One button changes every text of the page and the locale of requests, and the choice is remembered."""
    chat = visit(server.page).connected()
    page = chat.page
    chat.ask("hello", endpoint="chat")
    chat.ended()
    expect(chat.turn.get_by_role("button", name="Copy")).to_be_visible()
    page.get_by_role("button", name="中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(chat.turn.get_by_role("button", name="复制")).to_be_visible()
    expect(chat.message).to_have_attribute("placeholder", "请输入您的问题…")
    english = re.compile(r"\b(Send|Stop|Copy|Ask|Events|Options|Server|elapsed|characters|complete)\b")
    assert not english.search(page.locator("header").inner_text() + page.locator("#composer").inner_text())
    with page.expect_request(SMART) as sent:
        chat.ask("你好 wait=60", endpoint="smart")
    assert '"locale":"zh"' in (sent.value.post_data or "")
    expect(chat.status).to_contain_text("已用")
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.get_by_role("button", name="English").click()
    expect(chat.status).to_contain_text("elapsed")
    chat.send.click()
    chat.ended()


def test_every_text_is_there_in_both_languages(visit: Visit, server: Server) -> None:
    """Every text and every error code."""
    page = visit(server.page).page
    texts, errors = page.evaluate("[TEXTS, ERRORS]")
    pairs = [*texts.values(), *(tuple(map(" ".join, languages)) for languages in errors.values())]
    for english, chinese in pairs:
        assert not re.search("[一-龥]", english)
        assert re.search("[一-龥]", chinese) or not re.search("[a-zA-Z]{2}", re.sub(r"\{\w+\}", "", english))
    refusals = "invalid_request unauthorized forbidden not_found conflict gone too_large rate_limited busy draining"
    endings = "unavailable internal backend_error answer_too_large lost timeout cancelled"
    assert set(f"{refusals} {endings}".split()) <= errors.keys()
    used = re.findall(r'data-t(?:-label|-placeholder)?="(\w+)"|\bt\("(\w+)"', PAGE.read_text("utf-8"))
    assert {name for names in used for name in names if name} <= texts.keys()


def test_the_page_can_be_used_by_keyboard_alone(visit: Visit, demo: Server) -> None:
    """Tab reaches every control in reading order; Enter and Space activate it."""
    chat = visit(demo.page).connected()
    page = chat.page
    expect(chat.message).to_be_focused()

    def stops() -> Iterator[str]:
        while True:
            page.keyboard.press("Tab")
            yield page.evaluate("(({id, className, tagName}) => id || className || tagName)(document.activeElement)")

    around = stops()
    # The first round ends at the end of the window; the second one starts at its top.
    assert "BODY" in islice(around, 40)
    seen = list(takewhile(lambda stop: stop != "BODY", islice(around, 40)))
    header, composer = "skip connection-toggle language events-toggle", "message persona options-toggle send"
    order = f"{header} card {composer}".split()
    assert [stop for stop in dict.fromkeys(seen) if stop in order] == order
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    expect(chat.message).to_be_focused()
    page.keyboard.type("What is your opinion on AI?")
    page.keyboard.press("Enter")
    expect(chat.message).to_be_focused()
    for stop in stops():
        if stop == "send":
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    expect(chat.notice).to_contain_text("Stopped")
    page.locator("#events-toggle").focus()
    page.keyboard.press("Space")
    expect(page.locator("#events")).to_be_visible()
    page.locator("#events-close").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#events-toggle")).to_be_focused()


def test_a_screen_reader_gets_few_announcements(visit: Visit, server: Server) -> None:
    """Every control has a name; statuses are announced politely, the growing answer is not."""
    chat = visit(server.page).connected()
    page = chat.page
    page.evaluate(
        """() => {
          window.announcements = [];
          const region = document.getElementById('announce');
          new MutationObserver(() => announcements.push(region.textContent)).observe(region, {childList: true});
        }"""
    )
    chat.ask("story wait=1")
    expect(page.get_by_role("article", name="Answer by Sums")).to_be_visible()
    expect(chat.turn.get_by_role("progressbar", name="Progress")).to_be_visible()
    chat.ended()
    announced = page.evaluate("announcements")
    assert announced[-1].startswith("Answer complete")
    assert len(announced) <= 3
    assert page.evaluate("document.querySelector('.answer').closest('[aria-live]')") is None
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, textarea')]
             .filter(node => node.checkVisibility())
             .filter(node => !node.labels?.length && !node.ariaLabel && !node.innerText.trim())
             .map(node => node.outerHTML)"""
    )
    assert nameless == []


def test_reduced_motion_stops_every_animation(visit: Visit, server: Server) -> None:
    """By the preference of the browser."""
    chat = visit(server.page, reduced_motion="no-preference").connected()
    chat.ask("story wait=3")
    expect(chat.status).to_be_visible()
    assert chat.page.evaluate("document.getAnimations().length") > 0
    chat.page.emulate_media(reduced_motion="reduce")
    assert chat.page.evaluate("document.getAnimations().length") == 0
    chat.ended()


def test_the_page_works_as_a_local_file(visit: Visit, server: Server) -> None:
    """It asks for the server address; everything else is the same."""
    chat = visit(f"{PAGE.as_uri()}#token={server.token}", requests_fail=True, fresh=True)
    expect(chat.page.get_by_label("Server")).to_have_value("http://127.0.0.1:5001")
    chat.page.get_by_label("Server").fill(server.address)
    chat.page.get_by_label("Server").press("Enter")
    chat.connected()
    assert "token" not in chat.page.url
    chat.ask("story wait=0.3")
    chat.wait_for_text(200)
    chat.page.reload()
    assert chat.ended().text() == STORY
    chat.ask("hello", endpoint="chat")
    assert chat.ended().text() == SHORT
    chat.shoot("from-disk")


def test_the_page_loads_nothing_but_the_markdown_module() -> None:
    """It is one file without a build, and works without the module."""
    source = PAGE.read_text("utf-8")
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", source)
    assert not re.search(r"@import|url\((?![\"']?data:)", source)
    assert re.findall(r"import\((.*)\)\)", source) == ["`${defaultServer()}/assets/markdown.js`"]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", source)

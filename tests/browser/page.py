"""Page object of the test page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

SMART = "**/api/stream_chat_smart"
SCREENSHOTS = Path(__file__).parent / "screenshots"
TIMEOUT_MS = 20_000


class Conversation:
    """Conversation on the page: its controls, its last turn, and what a user does with them."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.message = page.locator("#message")
        self.send = page.locator("#send")
        self.turns = page.locator(".turn")
        self.turn = self.turns.last
        self.answer = self.turn.locator(".answer")
        self.reasoning = self.turn.locator(".reasoning")
        self.status = self.turn.locator(".status")
        self.notice = self.turn.locator(".notice")
        self.summary = self.turn.locator(".summary")
        self.records = page.locator("#events ol > li")

    def connected(self) -> Conversation:
        """Wait until the page is connected."""
        expect(self.page.locator("#connection-toggle")).to_have_attribute("data-connection", "ok")
        return self

    def ask(self, message: str, *, endpoint: str | None = None) -> None:
        """Send a message and wait for its turn."""
        turns = self.turns.count()
        if endpoint is not None:
            self.choose_endpoint(endpoint)
        self.message.fill(message)
        self.message.press("Enter")
        expect(self.turns).to_have_count(turns + 1)

    def choose_endpoint(self, endpoint: str) -> None:
        """Select an event style."""
        toggle = self.page.locator("#options-toggle")
        is_open = toggle.get_attribute("aria-expanded") == "true"
        if not is_open:
            toggle.click()
        self.page.locator("#endpoint").select_option(endpoint)
        if not is_open:
            toggle.click()

    def ask_for_reasoning(self) -> None:
        """Check the option."""
        self.page.locator("#options-toggle").click()
        self.page.locator("#reasoning").check()
        self.page.locator("#options-toggle").click()

    def text(self) -> str:
        """Return the answer so far, as received."""
        text: str = self.page.evaluate("state.turns.at(-1)?.answer ?? ''")
        return text

    def thoughts(self) -> str:
        """Return the reasoning so far."""
        return self.reasoning.locator("div").text_content() or ""

    def wait_for_text(self, characters: int = 1) -> str:
        """Wait for so many characters of the answer, and return it."""
        self._wait_for(".answer", characters)
        return self.text()

    def wait_for_thoughts(self, characters: int = 1) -> str:
        """Wait for so many characters of the reasoning, and return it."""
        self._wait_for(".reasoning div", characters)
        return self.thoughts()

    def ended(self) -> Conversation:
        """Wait until the run has ended, with any outcome."""
        expect(self.summary).to_be_visible(timeout=TIMEOUT_MS)
        expect(self.status).to_be_hidden()
        return self

    def instead(self, url: str, body: str = "", **response: Any) -> None:
        """Answer requests to a URL with this response instead of the server's."""
        response = {"content_type": "text/event-stream", "body": body.encode()} | response
        self.page.route(url, lambda route: route.fulfill(**response))

    def shoot(self, name: str) -> None:
        """Save a screenshot."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def show_events(self) -> Locator:
        """Open the pane of raw events, and return its rows."""
        self.page.locator("#events-toggle").click()
        return self.records

    def _wait_for(self, part: str, characters: int) -> None:
        self.page.wait_for_function(
            "([part, n]) => [...document.querySelectorAll('.turn ' + part)].at(-1)?.textContent.length >= n",
            arg=[part, characters],
            timeout=TIMEOUT_MS,
        )

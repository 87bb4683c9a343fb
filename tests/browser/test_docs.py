"""``/docs`` in a browser that has access to no other host, and as axe-core judges it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.dashboard import accessibility_faults
from tests.browser.page import SCREENSHOTS
from tests.browser.serving import Server

pytestmark = pytest.mark.heavy

TIMEOUT_MS = 90_000  # the renderer is 5 MB of script


def open_events(page: Page) -> Locator:
    """Go to the smart stream, since the page renders only what is near, and open its events; return one of them."""
    # The link is hidden in a narrow window.
    page.locator("a").filter(has_text="Stream an answer (smart)").first.evaluate("link => link.click()")
    page.get_by_role("button", name="Stream of the run from its beginning.").first.click()
    frame = page.get_by_role("listitem").filter(has_text="Progress of the backend.").first
    expect(frame).to_be_visible(timeout=TIMEOUT_MS)
    return frame


@pytest.mark.timeout(300)
def test_the_page_shows_the_api_without_other_hosts(browser: Browser, server: Server):
    """The page lists the streams and their events, requests nothing from other hosts, and logs no errors."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(TIMEOUT_MS)
    requested = []
    errors = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type != "info" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{server.address}/docs", wait_until="commit")
    expect(page.get_by_text("Stream an answer (smart)").first).to_be_visible(timeout=TIMEOUT_MS)
    frame = open_events(page)
    for advert in page.get_by_text("Generate SDK").all():
        expect(advert).to_be_hidden()
    frame.scroll_into_view_if_needed()
    page.screenshot(path=SCREENSHOTS / "docs.png")
    page.close()
    assert {url for url in requested if not url.startswith(server.address)} == set()
    assert errors == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_the_page_has_no_serious_fault(browser: Browser, server: Server, scheme: str, width: int):
    """At its beginning, and at an operation with its schemas and examples."""
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce")
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(f"{server.address}/docs", wait_until="commit")
    expect(page.get_by_role("heading", name="Streams").first).to_be_attached(timeout=TIMEOUT_MS)
    assert accessibility_faults(page) == []
    open_events(page)
    assert accessibility_faults(page) == []
    page.screenshot(path=SCREENSHOTS / f"docs-{scheme}-{width}.png")
    page.close()

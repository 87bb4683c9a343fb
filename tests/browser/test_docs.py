"""The page of the API, as a browser without any other network shows it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.page import SCREENSHOTS
from tests.browser.serving import Server

pytestmark = pytest.mark.heavy

PATIENCE_MS = 90_000  # the renderer is 5 MB of script, and a machine can be busy


@pytest.mark.timeout(300)
def test_the_page_shows_the_api_with_no_other_network(browser: Browser, server: Server):
    """It names every stream and what its events are, sends nothing anywhere else, and complains of nothing."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(PATIENCE_MS)
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type != "info" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{server.address}/docs", wait_until="commit")
    expect(page.get_by_text("Ask, and read the stream (style smart)").first).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("button", name="The stream of the run, from its beginning.").first.click()
    frame = page.get_by_role("listitem").filter(has_text="The backend is at work.").first
    expect(frame).to_be_visible(timeout=PATIENCE_MS)
    for advert in page.get_by_text("Generate SDK").all():
        expect(advert).to_be_hidden()
    frame.scroll_into_view_if_needed()
    page.screenshot(path=SCREENSHOTS / "docs.png")
    page.close()
    assert {url for url in asked if not url.startswith(server.address)} == set()
    assert complaints == []

"""Fixtures: a real browser and a real server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, expect, sync_playwright

from tests.browser.page import TIMEOUT_MS, Conversation
from tests.browser.serving import Server, serving

# The headless shell is the same browser and takes half the CPU time.
BROWSERS = (Path("/usr/bin/chromium-headless-shell"), Path("/usr/bin/chromium"))
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Without a GPU, animations take most of the CPU time.
DESKTOP = {"locale": "en-US", "viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"}
# With an icon, which Chromium would request from the server otherwise.
EMPTY = '<link rel="icon" href="data:,">'

Visit = Callable[..., Conversation]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium for the block; skip the test if it is not installed."""
    program = next((path for path in BROWSERS if path.exists()), None)
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is missing, and CI skips nothing")
        pytest.skip("Chromium is missing: apt-get install chromium-headless-shell")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


# Not for the whole session: Playwright keeps an event loop in this thread, and other tests need their own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Start Chromium once for the tests of this folder."""
    expect.set_options(timeout=TIMEOUT_MS)
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the backend of these tests, which accepts any username."""
    with serving(tmp_path_factory.mktemp("server"), "--backend", "tests.browser.backend:answer") as server:
        yield server


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the demo with its personas."""
    with serving(tmp_path_factory.mktemp("demo"), "--backend", "demo", "--demo-seconds", "3") as server:
        yield server


@pytest.fixture(scope="package")
def shared_tab(browser: Browser) -> Iterator[Page]:
    """Return the tab that most tests share, since opening one takes longer than many tests."""
    context = browser.new_context(**DESKTOP)
    yield context.new_page()
    context.close()


@pytest.fixture
def visit(browser: Browser, shared_tab: Page) -> Iterator[Visit]:
    """Return a function that opens the page as a first-time visitor.

    With options of a browser context, or ``fresh``, it uses a context of its own. The test fails if the console has
    errors or warnings. Chromium logs every failed request there, so a test that makes requests fail passes
    ``requests_fail``.
    """
    console_errors: list[str] = []
    with ExitStack() as cleanup:

        def open_page(address: str, *, requests_fail: bool = False, fresh: bool = False, **own: Any) -> Conversation:
            def on_console(message: ConsoleMessage) -> None:
                network = message.text.startswith(("Failed to load resource", "WebSocket connection to"))
                if message.type in ("error", "warning") and not (network and requests_fail):
                    console_errors.append(message.text)

            def on_error(error: Error) -> None:
                console_errors.append(str(error))

            page = shared_tab
            if fresh or own:
                context = browser.new_context(**DESKTOP | own)
                cleanup.callback(context.close)
                page = context.new_page()
            else:
                cleanup.callback(_leave, page)
                _forget(page, address)
            page.on("console", on_console)
            page.on("pageerror", on_error)
            cleanup.callback(page.remove_listener, "console", on_console)
            cleanup.callback(page.remove_listener, "pageerror", on_error)
            page.goto(address)
            return Conversation(page)

        yield open_page
    assert console_errors == []


def _forget(page: Page, address: str) -> None:
    """Clear the storage of this origin, from a page that stores nothing when it is left."""
    page.route("**/empty", lambda route: route.fulfill(content_type="text/html", body=EMPTY))
    page.goto(urljoin(address, "/empty"))
    page.evaluate("localStorage.clear(); sessionStorage.clear()")


def _leave(page: Page) -> None:
    page.unroute_all(behavior="ignoreErrors")
    page.goto("about:blank")

"""The components of docs/CLIENTS.md and of the tutorial, built from published packages, in a real browser."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlencode

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from e2e.backend import TEXT
from e2e.published_clients import place, runs
from e2e.server import Served, serving
from tests.browser.conftest import chromium
from tests.documents import Document
from tests.polling import wait_for

INDEX = """<!doctype html>
<meta charset="utf-8"><link rel="icon" href="data:,"><title>Chat</title>
<main></main><script src="app.js"></script>
"""
MAIN = """
import { createRoot } from "react-dom/client";
import { Chat } from "./chat.jsx";
const settings = Object.fromEntries(new URLSearchParams(location.search));
createRoot(document.querySelector("main")).render(<Chat {...settings} />);
"""
# What `src/main.jsx` of Vite's template does.
VITE_MAIN = """
import { createRoot } from "react-dom/client";
import App from "./chat.jsx";
createRoot(document.querySelector("main")).render(<App />);
"""
WAIT_MS = 60_000


class QuietHandler(SimpleHTTPRequestHandler):
    """Handler for the files of the application, without a log."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@contextmanager
def built(folder: Path, component: str, main: str, *more: str) -> Iterator[str]:
    """Build a component with esbuild and these options, and serve it; yield its address."""
    (folder / "chat.jsx").write_text(component, "utf-8")
    (folder / "main.jsx").write_text(main, "utf-8")
    packages = Path(place("E2E_AI_NODE"), "node_modules")
    (folder / "node_modules").symlink_to(packages)
    (folder / "index.html").write_text(INDEX, "utf-8")
    options = ("--bundle", "--jsx=automatic", "--preserve-symlinks", "--log-level=error", "--outfile=app.js")
    subprocess.run([packages / ".bin" / "esbuild", "main.jsx", *options, *more], cwd=folder, check=True)
    # Chromium lets only pages of this machine send requests to it, so a routed page does not do.
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Build the component as it stands in docs/CLIENTS.md; yield its address."""
    [component] = Document("docs/CLIENTS.md").blocks("jsx")
    with built(tmp_path_factory.mktemp("app"), component, MAIN) as address:
        yield address


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Run a server with the backend of e2e/backend.py."""
    with serving(tmp_path_factory.mktemp("served"), backend="backend:ask", timeout=60) as served:
        yield served


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    """Run a browser."""
    with chromium() as browser:
        yield browser.new_context()


@pytest.fixture
def page(context: BrowserContext, app: str, served: Served, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Open a page of another origin with the component, in a chat of the test's own."""
    page = context.new_page()
    settings = {"server": served.url, "token": served.token, "chatId": request.node.name}
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{app}?{urlencode(settings)}")
    yield page
    page.close()
    assert errors == []


def send(page: Page, message: str) -> None:
    page.locator("input").fill(message)
    page.get_by_role("button", name="Send").click()


def answers(page: Page) -> list[str | None]:
    return page.locator("[data-role=assistant]").all_text_contents()


def percent(page: Page) -> float:
    """Return the value of the progress bar, which must appear."""
    return float(page.locator("progress").get_attribute("value", timeout=WAIT_MS) or "")


def test_the_bar_moves_for_twenty_seconds_and_a_reload_resumes(page: Page, served: Served) -> None:
    """The answer is complete, once; the backend was called once."""
    send(page, "24")
    assert percent(page) == 5
    page.wait_for_function("document.querySelector('progress')?.value > 10", timeout=WAIT_MS)
    page.wait_for_timeout(6_000)  # a user who waits
    page.reload()
    assert percent(page) > 10
    expect(page.locator("[data-role=user]")).to_have_text(["24"])
    expect(page.locator("label")).to_contain_text("...")
    expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=WAIT_MS)
    assert answers(page) == [TEXT]
    expect(page.locator("progress")).to_have_count(0)
    assert runs(served) == ["complete"]
    page.reload()
    expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=WAIT_MS)
    assert answers(page) == [TEXT]


def test_a_reload_in_the_middle_of_the_text_resumes(page: Page, served: Served) -> None:
    """Each character once."""
    send(page, "1")
    page.wait_for_function("document.querySelector('[data-role=assistant]')?.textContent.length > 5", timeout=WAIT_MS)
    page.reload()
    expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=WAIT_MS)
    wait_for(lambda: page.wait_for_timeout(100) or answers(page) == [TEXT])
    assert runs(served) == ["complete"]


def test_stopping_cancels_the_run(page: Page, served: Served) -> None:
    """At once, not after the grace period; the chat continues."""
    send(page, "50")
    assert percent(page) == 5
    page.get_by_role("button", name="Stop").click()
    wait_for(lambda: runs(served) == ["cancelled"])
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    send(page, "0")
    expect(page.locator("[data-role=assistant]").last).to_have_text(TEXT, timeout=WAIT_MS)
    assert runs(served) == ["complete", "cancelled"]


def test_a_failure_is_shown(page: Page, served: Served) -> None:
    """With the words of the backend."""
    send(page, "fail")
    expect(page.get_by_role("alert")).to_have_text("The library is closed today.", timeout=WAIT_MS)
    assert runs(served) == ["error"]


def test_the_component_of_the_tutorial_shows_progress_and_the_answer(
    context: BrowserContext, served: Served, tmp_path: Path
) -> None:
    """With the token that Vite replaces at build time."""
    [component] = Document("docs/TUTORIAL.md").blocks("jsx")
    component = component.replace("http://127.0.0.1:5001", served.url)
    token = f"--define:import.meta.env.VITE_TOKEN={json.dumps(served.token)}"
    with built(tmp_path, component, VITE_MAIN, token) as address:
        page = context.new_page()
        page.goto(address)
        page.get_by_label("Question").fill("4")
        page.get_by_role("button", name="Ask").click()
        assert percent(page) == 5
        expect(page.locator("main p").last).to_have_text(f"assistant: {TEXT}", timeout=WAIT_MS)
        expect(page.get_by_role("button", name="Ask")).to_be_enabled(timeout=WAIT_MS)
        expect(page.locator("progress")).to_have_count(0)
        page.close()

"""The documentation as a site: complete without other hosts, accessible, and with links that are checked."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copy2, copytree
from threading import Thread

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import chromium
from tests.browser.dashboard import accessibility_faults
from tests.documents import ROOT

PAGES = ("index", "index.zh-CN", "TUTORIAL", "api/stream", "PROXIES", "GLOSSARY")


class QuietHandler(SimpleHTTPRequestHandler):
    """Handler for the files of the site, without a log."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def build(folder: Path, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Build the site, as `make docs` does, into a folder."""
    command = [root / "scripts/docs.sh", "--site-dir", folder]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Build and serve the site; yield its address."""
    folder = tmp_path_factory.mktemp("site")
    built = build(folder)
    assert built.returncode == 0, built.stdout + built.stderr
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run a browser."""
    with chromium() as browser:
        yield browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_pages_need_no_other_host_and_have_no_serious_fault(
    browser: Browser, site: str, scheme: str, width: int
) -> None:
    """Start pages, tutorial, reference and a guide; none is wider than the window."""
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce"
    )
    requested: set[str] = set()
    errors: list[str] = []
    page = context.new_page()
    page.on("request", lambda request: requested.add(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    for name in PAGES:
        page.goto(f"{site}{name}.html")
        expect(page.locator("html")).to_have_attribute("lang", "zh" if name.endswith("zh-CN") else "en")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert accessibility_faults(page) == [], name
    context.close()
    assert {url for url in requested if not url.startswith(site)} == set()
    assert errors == []


@pytest.mark.parametrize(("words", "name"), [("proxy_read_timeout", "PROXIES"), ("五分钟教程", "TUTORIAL.zh-CN")])
def test_the_search_finds_words_of_both_languages(browser: Browser, site: str, words: str, name: str) -> None:
    """Chinese texts are split into words."""
    page = browser.new_page()
    page.goto(f"{site}index.html")
    page.get_by_role("textbox", name="Search").fill(words)
    expect(page.locator(f".md-search-result__list a[href*='{name}.html']").first).to_be_attached(timeout=30_000)
    page.close()


def test_a_broken_link_fails(site: str, tmp_path: Path) -> None:
    """The build names the page and the link, whether the file or the heading is missing."""
    for name in ("deploy", "docs", "requirements", "scripts"):
        copytree(ROOT / name, tmp_path / name)
    for file in (*ROOT.glob("*.md"), ROOT / "mkdocs.yml", ROOT / "setup.cfg"):
        copy2(file, tmp_path)
    (tmp_path / ".venv-docs").symlink_to(ROOT / ".venv-docs")
    with (tmp_path / "docs" / "FAQ.md").open("a", encoding="utf-8") as page:
        page.write("\n[file](MISSING.md) [heading](FAQ.md#missing)\n")
    built = build(tmp_path / "site", tmp_path)
    assert built.returncode != 0
    assert "'FAQ.md' contains a link 'MISSING.md'" in built.stderr
    assert "no such anchor" in built.stderr

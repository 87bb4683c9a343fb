"""Page object of the dashboard."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.page import SCREENSHOTS, TIMEOUT_MS
from tests.server_process import ROOT, token

ADMIN = token("boss", scope="chat admin")
AXE = ROOT / ".venv-e2e-node/node_modules/axe-core/axe.min.js"


class Dashboard:
    """The dashboard in a browser page."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.rows = page.locator("table.log tbody tr")
        self.panel = page.get_by_role("tabpanel")

    def logged_in(self) -> Dashboard:
        """Set the session cookie, open the list and wait for it."""
        self.set_cookie()
        self.go("#/runs")
        expect(self.rows.first).to_be_visible(timeout=TIMEOUT_MS)
        return self

    def set_cookie(self) -> None:
        """Log in as an administrator."""
        host = urlsplit(self.address).hostname
        cookie: Any = {
            "name": "persona_stream_admin", "value": ADMIN, "domain": host, "path": "/dashboard",
            "httpOnly": True, "sameSite": "Strict",
        }  # fmt: skip
        self.page.context.add_cookies([cookie])

    def go(self, place: str) -> None:
        """Open a section by its address."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}/dashboard{place}")

    def tab(self, name: str) -> Locator:
        """Return a tab by its name."""
        return self.page.get_by_role("tab", name=name, exact=True)

    def open_first(self, status: str) -> None:
        """Open the newest run of a status from the filtered list."""
        self.go(f"#/runs?status={status}")
        self.rows.first.locator("a").click()
        expect(self.page.get_by_role("tablist")).to_be_visible()

    def overflow(self) -> list[str]:
        """Return the elements that reach beyond the right edge of the window."""
        names: list[str] = self.page.evaluate(
            """() => document.scrollingElement.scrollWidth <= innerWidth ? [] :
                 [...document.querySelectorAll('body *')]
                   .filter(node => node.getBoundingClientRect().right > innerWidth + 1)
                   .map(node => node.outerHTML.slice(0, 80))"""
        )
        return names

    def shoot(self, name: str, *, whole: bool = False) -> None:
        """Save a screenshot."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"dashboard-{name}.png", full_page=whole)

    def faults(self) -> list[str]:
        """Return the serious and critical violations that axe-core reports."""
        return accessibility_faults(self.page)


def accessibility_faults(page: Page) -> list[str]:
    """Return the serious and critical violations that axe-core reports on a page."""
    page.evaluate(_axe())
    violations: list[dict[str, Any]] = page.evaluate("async () => (await axe.run(document)).violations")
    return [
        f"{violation['id']}: {node['html'][:120]} {node['failureSummary']}"
        for violation in violations
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def _axe() -> str:
    if not AXE.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("axe-core is missing, and CI skips nothing")
        pytest.skip("axe-core is missing: make e2e installs it")
    return Path(AXE).read_text("utf-8")

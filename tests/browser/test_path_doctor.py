"""The path doctor on the dashboard: its measurements in a browser, and the findings in both languages."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import DESKTOP
from tests.browser.dashboard import Dashboard
from tests.browser.serving import Server, serving
from tests.faults.nginx import needs_nginx, nginx_site

STREAM = "**/dashboard/api/doctor/stream*"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a dashboard, which keeps no log."""
    with serving(tmp_path_factory.mktemp("doctor"), "--backend", "tests.browser.backend:answer") as server:
        yield server


def open_doctor(page: Page, address: str) -> Dashboard:
    """Log in and open the section."""
    dashboard = Dashboard(page, address)
    dashboard.set_cookie()
    dashboard.go("#/doctor")
    expect(page.get_by_role("button", name="Measure").or_(page.get_by_role("button", name="开始测量"))).to_be_visible()
    return dashboard


def test_findings_are_shown_in_both_languages(browser: Browser, server: Server) -> None:
    """From the server's diagnosis of what the browser measured; a buffered stream is a problem with its remedy."""
    page = browser.new_page(**DESKTOP)

    def buffered(route: Route) -> None:
        now = time.time()
        events = [{"sent_at": now - 5 * left, "is_complete": left == 0} for left in (1, 0)]
        body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        route.fulfill(body=body, content_type="text/event-stream", headers={"via": "1.1 cache"})

    page.route(STREAM, buffered)
    open_doctor(page, server.address)
    page.get_by_role("button", name="Measure").click()
    findings = page.locator(".findings li")
    expect(findings.first).to_contain_text("The response passes through a proxy")
    expect(page.locator(".findings li.bad")).to_have_count(1)
    expect(page.locator(".findings li.bad")).to_contain_text("A proxy buffers: events arrived up to 5.0 s late")
    expect(page.locator(".findings li.bad code").first).to_contain_text("proxy_buffering off;")
    page.locator("#language").click()
    expect(findings.first).to_contain_text("响应经过：代理")
    page.close()


def test_leaving_the_section_ends_the_measurement(browser: Browser, server: Server) -> None:
    """Its connections are closed."""
    page = browser.new_page(**DESKTOP)
    open_doctor(page, server.address)
    with page.expect_request(STREAM) as asked:
        page.get_by_role("button", name="Measure").click()
    with page.expect_event("requestfailed", lambda request: request == asked.value):
        page.evaluate("location.hash = '#/runs'")
    page.close()


@needs_nginx
@pytest.mark.heavy
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_the_fault_of_a_real_proxy_is_found(
    browser: Browser, server: Server, tmp_path: Path, scheme: str, locale: str, width: int
) -> None:
    """An nginx that compresses. The page is accessible in both themes and languages, on a desktop and on a phone."""
    tmp_path.chmod(0o755)
    harm = "gzip on; gzip_types text/event-stream; gzip_min_length 1; proxy_ignore_headers X-Accel-Buffering;"
    location = f"location / {{ proxy_pass {server.address}; {harm} }}"
    look = {"color_scheme": scheme, "locale": locale, "viewport": {"width": width, "height": 800}}
    page = browser.new_page(**DESKTOP | look)
    with nginx_site(tmp_path, location) as url:
        dashboard = open_doctor(page, url)
        page.locator(".doctor .button").click()
        expect(page.locator(".doctor .progress")).to_be_visible()
        assert dashboard.faults() == []
        dashboard.shoot(f"doctor-running-{scheme}-{locale[:2]}-{width}")
        expect(page.locator(".findings li.bad").first).to_contain_text("gzip")
        assert (dashboard.faults(), dashboard.overflow()) == ([], [])
        dashboard.shoot(f"doctor-{scheme}-{locale[:2]}-{width}")
    page.close()

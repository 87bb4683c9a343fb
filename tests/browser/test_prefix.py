"""Everything below a prefix: behind a real nginx, and inside another WSGI application; from the documents' snippets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visit
from tests.browser.dashboard import ADMIN
from tests.browser.page import SCREENSHOTS, TIMEOUT_MS
from tests.browser.serving import serving
from tests.documents import Document
from tests.faults.nginx import needs_nginx, nginx_site
from tests.polling import wait_for
from tests.ports import free_port
from tests.server_process import ROOT, SECRET, token
from tests.sse_client import answer, read

pytestmark = pytest.mark.heavy

HEADERS = {"Authorization": f"Bearer {token('alice')}"}
SITE = '''
def application(environ, start_response):
    """Another site."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"another site"]
'''


def snippet(language: str) -> str:
    """Return the code block of docs/DEPLOY.md."""
    [block] = [
        s.body
        for s in Document("docs/DEPLOY.md").snippets()
        if s.heading == "Below a prefix" and s.language == language
    ]
    return block


@contextmanager
def behind_nginx(folder: Path) -> Iterator[str]:
    """Run the demo behind the documented location."""
    folder.chmod(0o755)
    with serving(folder, "--demo-seconds=2", "--trusted-proxies=127.0.0.1", "--database-url=sqlite:///") as server:
        location = snippet("nginx").replace("http://127.0.0.1:5001", server.url)
        with nginx_site(folder, location) as url:
            yield f"{url}/ai"


@contextmanager
def mounted(folder: Path) -> Iterator[str]:
    """Run the demo inside another application, with the documented module."""
    port = free_port()
    (folder / "my_site.py").write_text(SITE, "utf-8")
    (folder / "site_ai.py").write_text(snippet("python"), "utf-8")
    command = [sys.executable, "-m", "gunicorn", "--worker-class", "gevent", f"--bind=127.0.0.1:{port}", "site_ai"]
    environ = {
        "PERSONA_STREAM_JWT_SECRET": SECRET,
        "PERSONA_STREAM_DEMO_SECONDS": "2",
        "PERSONA_STREAM_DATABASE_URL": "sqlite:///",
        "PERSONA_STREAM_STATE_DIR": str(folder),
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.Popen([*command, "--graceful-timeout=1"], cwd=folder, env={**os.environ, **environ})

    def has_started() -> bool:
        assert process.poll() is None
        try:
            return requests.get(f"http://127.0.0.1:{port}/", timeout=10).text == "another site"
        except requests.ConnectionError:
            return False

    try:
        wait_for(has_started, seconds=60)
        yield f"http://127.0.0.1:{port}/ai"
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="module", params=[pytest.param(behind_nginx, marks=needs_nginx), mounted])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server below a prefix."""
    with ExitStack() as stack:
        yield stack.enter_context(request.param(tmp_path_factory.mktemp("prefix")))


def test_the_page_asks_and_resumes_below_the_prefix(site: str, visit: Visit):
    """Also at the address without a slash at the end, and after a reload in the middle of an answer."""
    for address in (f"{site}/", f"{site}/streaming_test.html"):
        page = visit(f"{address}#token={token('alice')}", fresh=True).connected()
        requested: list[str] = []
        page.page.on("request", lambda request, seen=requested: seen.append(request.url))
        page.ask("What is Ethereum?")
        page.page.reload()
        page.ended()
        assert len(page.text()) > 100
        assert requested
        assert all(url.startswith(site) for url in requested), requested
    page.page.screenshot(path=SCREENSHOTS / "prefix-page.png")


def test_the_dashboard_and_the_docs_work_below_the_prefix(site: str, browser: Browser):
    """They request nothing outside of it, and the cookie is for the dashboard alone."""
    body = {"username": "VitalikButerin", "message": "What is Ethereum?"}
    requests.post(f"{site}/api/chat", json=body, headers=HEADERS, timeout=60).raise_for_status()
    page = browser.new_page()
    requested: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{site}/dashboard")
    page.get_by_label("Token").fill(ADMIN)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("table.log tbody tr").first).to_be_visible(timeout=TIMEOUT_MS)
    page.locator("table.log tbody tr").first.locator("a").first.click()
    expect(page.get_by_role("tablist")).to_be_visible(timeout=TIMEOUT_MS)
    page.screenshot(path=SCREENSHOTS / "prefix-dashboard.png")
    [cookie] = page.context.cookies(f"{site}/dashboard/api/session")
    assert cookie["path"] == "/ai/dashboard"
    page.set_default_timeout(90_000)  # the renderer is 5 MB of script
    page.goto(f"{site}/docs", wait_until="commit")
    expect(page.get_by_text("Stream an answer (smart)").first).to_be_visible(timeout=90_000)
    page.close()
    assert all(url.startswith((site, "data:")) for url in requested), requested
    assert errors == []


def test_location_and_events_url_lead_back_to_the_run(site: str):
    """From outside, as a client sees them; so does the address in the OpenAPI document."""
    root = site.removesuffix(urlsplit(site).path)
    body = {"username": "VitalikButerin", "message": "What is Ethereum?"}
    response = requests.post(f"{site}/api/stream_chat_smart", json=body, headers=HEADERS, timeout=60)
    events = read(response)
    assert response.headers["Location"].startswith("/ai/api/runs/")
    assert events[0].data["events_url"].startswith("/ai/api/runs/")
    by_location = read(requests.get(root + response.headers["Location"], headers=HEADERS, timeout=60))
    by_ticket = read(requests.get(root + events[0].data["events_url"], timeout=60))
    assert answer(by_location) == answer(by_ticket) == answer(events)
    view = requests.get(f"{site}/api/runs/{events[0].data['run_id']}", headers=HEADERS, timeout=60).json()
    assert view["events_url"] == events[0].data["events_url"]
    resuming = {**HEADERS, "Last-Event-ID": events[len(events) // 2].id}
    rest = requests.get(root + response.headers["Location"], headers=resuming, timeout=60)
    assert answer(events).endswith(answer(read(rest)))
    assert requests.get(f"{site}/openapi.json", timeout=60).json()["servers"][0]["url"] == "/ai"

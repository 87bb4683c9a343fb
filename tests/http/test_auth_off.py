"""A server without authentication: open to its machine, closed to pages, rebound domains and other machines."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests

from tests.documents import SECURITY
from tests.server_process import ROOT, ServerProcess, serve
from tests.websocket_client import UPGRADE, WebSocketClient

BODY = {"username": "VitalikButerin", "message": "Hi"}
PATHS = [
    "/api/stream_chat_smart", "/api/chat", "/api/ui/chat", "/v1/chat/completions", "/v1/responses", "/v1/messages",
]  # fmt: skip


@pytest.fixture(scope="module")
def opened() -> Iterator[ServerProcess]:
    """The demo without authentication."""
    server = serve("demo", demo_seconds=0, auth="off")
    yield server
    assert server.stop() == 0


def test_the_start_warns(opened: ServerProcess):
    """And the banner has no token."""
    opened.wait_for_log("auth is off: every program on this machine can use the server")
    assert "token=" not in opened.greeting


def test_the_documented_request_needs_no_token(opened: ServerProcess):
    """That of docs/SECURITY.md; the run belongs to the local user."""
    [block] = [each.body for each in SECURITY.snippets() if each.heading == "Without authentication"]
    serve_line, curl = block.strip().split("\n", 1)
    assert serve_line == "persona-stream serve --auth off"
    command = shlex.split(curl.replace("\\\n", " ").replace("http://127.0.0.1:5001", opened.url))
    sent = subprocess.run([*command, "-s"], capture_output=True, text=True, check=True, timeout=60)
    assert '"status":"complete"' in sent.stdout
    assert len(requests.get(f"{opened.url}/api/runs", timeout=30).json()["runs"]) == 1
    session = requests.get(f"{opened.url}/dashboard/api/session", timeout=30)
    assert session.json()["user"] == "local"


def test_a_client_may_send_any_key(opened: ServerProcess):
    """Official clients insist on one."""
    for headers in ({"Authorization": "Bearer unused"}, {"x-api-key": "unused"}, {"Authorization": "Basic eA=="}):
        assert requests.get(f"{opened.url}/v1/models", headers=headers, timeout=30).status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example"},
        {"Host": "rebound.example:5001", "Origin": "http://rebound.example:5001", "Sec-Fetch-Site": "same-origin"},
        {"Host": "127.0.0.1.rebound.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_pages_and_rebound_domains_are_refused_on_every_address(
    opened: ServerProcess, path: str, headers: dict[str, str]
):
    """Before anything runs, and without permission to read the response."""
    before = requests.get(f"{opened.url}/api/runs", timeout=30).json()["runs"]
    for method in ("POST", "OPTIONS"):
        preflight = {"Access-Control-Request-Method": "POST"} if method == "OPTIONS" else {}
        response = requests.request(method, opened.url + path, json=BODY, headers={**headers, **preflight}, timeout=30)
        assert response.status_code == 403
        assert "Access-Control-Allow-Origin" not in response.headers
    assert requests.get(f"{opened.url}/api/runs", timeout=30).json()["runs"] == before


def test_a_page_of_another_origin_opens_no_websocket(opened: ServerProcess):
    """Browsers send no preflight for one; the server's own page, and programs, need no token."""
    hostile = ({"Origin": "https://evil.example"}, {"Host": "rebound.example"}, {"Sec-Fetch-Site": "cross-site"})
    for headers in hostile:
        response = requests.get(f"{opened.url}/api/ws", headers={**UPGRADE, **headers}, timeout=30)
        assert response.status_code == 403
    with WebSocketClient(opened.url, user=None) as client:
        client.send("start", request=BODY)
        assert client.receive_run()[-1]["status"] == "complete"


def test_a_request_without_host_is_served_to_this_machine(opened: ServerProcess):
    """HTTP/1.0, which browsers do not speak."""
    with socket.create_connection(("127.0.0.1", urlsplit(opened.url).port), timeout=30) as connection:
        connection.sendall(b"GET /api/profiles HTTP/1.0\r\n\r\n")
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "example.com", "::"])
def test_only_a_loopback_address_can_be_open(host: str):
    """Another one stops the start in one sentence."""
    command = [sys.executable, "-m", "persona_stream", "serve", "--auth=off", f"--host={host}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert f"host is {host}" in result.stderr

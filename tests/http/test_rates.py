"""Rate limits over HTTP: errors in the form of each protocol, and the headers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.server_process import ServerProcess, serve
from tests.sse_client import read

SMART = "/api/stream_chat_smart"
BODY = {"username": "quick", "message": "Hi"}
TALK = {"model": "quick", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """Server with a limit of two requests per hour for each caller and path."""
    served = serve("tests.backends_for_tests:chosen", rate_limit="2/hour")
    yield served
    assert served.stop() == 0


def test_remaining_requests_are_announced_and_further_ones_rejected(server: ServerProcess):
    """In the headers of the IETF draft; on a stream the error is one event."""
    left = []
    for _ in range(2):
        response = server.post(SMART, BODY, user="alice")
        assert response.headers["RateLimit-Policy"] == '"caller";q=2;w=3600'
        left.append(response.headers["RateLimit"].partition(";t=")[0])
    assert left == ['"caller";r=1', '"caller";r=0']
    refused = server.post(SMART, BODY, user="alice")
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 3600
    (event,) = read(refused)
    assert (event.data["code"], event.data["is_complete"]) == ("rate_limited", True)


def test_each_caller_and_each_path_is_counted_separately(server: ServerProcess):
    """A caller over the limit on one path may use another, and affects no other caller."""
    statuses = [server.post("/api/chat", BODY, user="bob").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert server.post(SMART, BODY, user="bob").status_code == 200
    assert server.post("/api/chat", BODY, user="carol").status_code == 200
    assert server.get("/api/runs", user="bob").status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", TALK),
        ("/v1/messages", {**TALK, "max_tokens": 9}),
    ],
)
def test_other_protocols_have_their_own_form(server: ServerProcess, path: str, body: dict[str, object]):
    """Their clients recognise it and may retry."""
    for _ in range(2):
        assert server.post(path, body, user="dave").status_code == 200
    refused = server.post(path, body, user="dave")
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "rate_limit_error")
    assert "x-should-retry" not in refused.headers
    assert "Retry-After" in refused.headers


def test_requests_with_invalid_tokens_are_limited_by_address():
    """A valid token is accepted from the same address."""
    served = serve("tests.backends_for_tests:chosen", rate_limit="2/hour")
    try:
        wrong = {"Authorization": "Bearer wrong"}
        statuses = [
            requests.post(served.url + SMART, json=BODY, headers=wrong, timeout=9).status_code for _ in range(4)
        ]
        assert statuses == [401, 401, 429, 429]
        assert served.post(SMART, BODY).status_code == 200
    finally:
        assert served.stop() == 0

"""Timed events of the path doctor."""

from __future__ import annotations

import json

import pytest
import requests

from tests.server_process import ServerProcess, serve, token


@pytest.fixture(scope="module")
def server():
    """A server with any backend."""
    served = serve("tests.backends_for_tests:quick")
    yield served
    assert served.stop() == 0


def test_events_have_the_time_of_the_server(server: ServerProcess) -> None:
    """One a second, the last one complete, with the headers of every stream."""
    response = server.get("/api/doctor/stream?seconds=1")
    events = [json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line]
    assert [event["is_complete"] for event in events] == [False, True]
    assert events[1]["sent_at"] - events[0]["sent_at"] == pytest.approx(1.0, abs=0.9)
    assert (response.headers["X-Accel-Buffering"], response.headers["Content-Type"]) == (
        "no",
        "text/event-stream; charset=utf-8",
    )


@pytest.mark.parametrize("query", ["seconds=121", "silent=121", "seconds=x"])
def test_a_measurement_is_bounded(server: ServerProcess, query: str) -> None:
    """The message names the parameter."""
    response = server.get(f"/api/doctor/stream?{query}")
    assert response.status_code == 400
    assert query.partition("=")[0] in response.text


def test_at_most_ten_measurements_run_at_once(server: ServerProcess) -> None:
    """And only with a token."""
    assert requests.get(f"{server.url}/api/doctor/stream", timeout=20).status_code == 401
    url = f"{server.url}/api/doctor/stream?seconds=60"
    headers = {"Authorization": f"Bearer {token()}"}
    held = [requests.get(url, headers=headers, stream=True, timeout=20) for _ in range(10)]
    refused = requests.get(url, headers=headers, timeout=20)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "10")
    for response in held:
        response.close()

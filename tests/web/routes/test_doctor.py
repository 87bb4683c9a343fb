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


def test_the_dashboard_diagnoses_measurements_of_a_browser(server: ServerProcess) -> None:
    """For administrators, in the language of the page."""
    ticking = {
        "status": 200,
        "headers": {"content-type": "text/event-stream", "content-encoding": "gzip"},
        "delays": [0.1, 0.2],
        "lasted": 1.0,
        "is_complete": True,
    }
    body = {"ticking": ticking, "silences": [{**ticking, "silent": 30}], "locale": "zh"}
    url = f"{server.url}/dashboard/api/doctor"
    assert server.post("/dashboard/api/doctor", body).status_code == 403
    headers = {"Authorization": f"Bearer {token('boss', scope='chat admin')}"}
    findings = requests.post(url, json=body, headers=headers, timeout=20).json()["findings"]
    assert [finding["text"] for finding in findings if finding["is_problem"]] == [
        "代理压缩了响应（gzip），事件会积攒到填满一个数据块才发出"
    ]
    assert findings[-1]["text"] == "连接可以静默 30 秒"
    stream = requests.get(f"{url}/stream?seconds=0", headers=headers, timeout=20)
    assert '"is_complete":true' in stream.text

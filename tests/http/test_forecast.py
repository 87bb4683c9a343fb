"""Percentage and remaining time over HTTP, from the earlier runs of a backend."""

from __future__ import annotations

import signal
from typing import Any

import requests

from tests.polling import wait_for
from tests.redis_server import RedisServer, needs_redis
from tests.server_process import ServerProcess, serve
from tests.sse_client import bodies, read

BACKEND = "tests.backends_for_tests:chosen"


def forecast(server: ServerProcess) -> dict[str, Any]:
    """Return the forecast of a run."""
    return server.get("/api/forecast?username=slow").json()


def wait_for_forecast(server: ServerProcess) -> None:
    """Wait until the forecasts are based on five runs; they are fitted at most once a second."""
    wait_for(lambda: forecast(server)["runs"] >= 5)


def test_progress_follows_the_earlier_runs_also_after_a_restart(tmp_path):
    """Linear at first, then by their durations; a later process reads them from the request log."""
    options = {"timeout": 150, "state_dir": str(tmp_path), "database_url": "sqlite:///"}
    ask = {"username": "slow", "message": "2.5"}

    def tick(server) -> dict:
        with server.post("/api/stream_chat_smart", ask, stream=True) as response:
            return next(event for event in bodies(read(response)) if event.get("elapsed_time", 0.0) >= 2.0)

    server = serve(BACKEND, **options)
    first = tick(server)
    assert first["progress"] == 6
    assert "eta" not in first
    for _ in range(4):
        assert server.post("/api/chat", ask).status_code == 200
    wait_for_forecast(server)
    second = tick(server)
    assert 50 <= second["progress"] <= 90
    assert 0.0 < second["eta"] < 2.0
    assert server.stop() == 0
    server = serve(BACKEND, **options)
    wait_for_forecast(server)
    after_restart = tick(server)
    assert 50 <= after_restart["progress"] <= 90
    assert server.stop() == 0


@needs_redis
def test_processes_that_share_a_redis_share_the_history():
    """Runs of two processes, one of which was killed, are known to both, and to one that starts later."""
    redis = RedisServer()
    options = {"timeout": 150, "redis_url": redis.url}
    here, there = serve(BACKEND, **options), serve(BACKEND, **options)
    for server in (here, there):
        for _ in range(3):
            assert server.post("/api/chat", {"username": "slow", "message": "0.5"}).status_code == 200

    for server in (here, there):
        wait_for(lambda server=server: forecast(server)["runs"] == 6)
    assert forecast(here) == forecast(there)
    assert 0.4 <= forecast(here)["expected"] < 2.0
    here.process.kill()
    assert here.stop() == -signal.SIGKILL
    later = serve(BACKEND, **options)
    assert forecast(later)["runs"] in (0, 6)  # read before or after this request
    wait_for(lambda: forecast(later) == forecast(there))
    assert there.stop() == 0
    assert later.stop() == 0
    redis.close()


def test_the_expected_duration_is_known_after_five_runs():
    """For each backend, and nulls before; an unknown persona is refused."""
    server = serve("tests.backends_for_tests:chosen")
    assert server.get("/api/forecast").json() == {
        "success": True, "expected": None, "low": None, "high": None, "runs": 0,
    }  # fmt: skip
    for _ in range(6):
        assert server.post("/api/chat", {"username": "slow", "message": "0.5"}).status_code == 200
    wait_for_forecast(server)
    found = forecast(server)
    assert found["runs"] >= 5
    assert 0.4 <= found["low"] <= found["expected"] <= found["high"] < 150.0
    assert found["expected"] < 2.0
    assert requests.get(f"{server.url}/api/forecast", timeout=5.0).status_code == 401
    assert server.stop() == 0
    demo = serve("demo")
    assert demo.get("/api/forecast?username=VitalikButerin").json()["runs"] == 0
    assert demo.get("/api/forecast?username=Nobody").status_code == 404
    assert demo.stop() == 0

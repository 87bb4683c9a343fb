"""Percentage and remaining time over HTTP, from the earlier runs of a backend."""

from __future__ import annotations

import time

from tests.server_process import serve
from tests.sse_client import bodies, read

BACKEND = "tests.backends_for_tests:chosen"


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
    time.sleep(1.5)  # the second fit
    second = tick(server)
    assert 50 <= second["progress"] <= 90
    assert 0.0 < second["eta"] < 2.0
    assert server.stop() == 0
    server = serve(BACKEND, **options)
    time.sleep(1.0)
    after_restart = tick(server)
    assert 50 <= after_restart["progress"] <= 90
    assert server.stop() == 0

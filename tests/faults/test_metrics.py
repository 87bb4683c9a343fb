"""Metrics of several workers, also when one of them is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.faults.cluster import Cluster, Workers
from tests.metrics_client import scrape
from tests.polling import wait_for
from tests.redis_server import needs_redis

pytestmark = needs_redis

BACKEND = {"backend": "tests.faults.recording_backend:ask"}
SMART = {"endpoint": "/api/stream_chat_smart", **BACKEND}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directory for temporary files of servers."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_metrics_sum_all_workers_and_drop_the_gauges_of_a_dead_one(tmp_path: Path, temporary: Path):
    """Its counters stay; each worker returns the same values; no files remain when the server stops."""
    with Cluster(tmp_path, count=1, workers=2, retention="60s", max_runs=50, drain=1) as cluster:
        server = cluster.servers[0]
        workers = Workers(cluster)
        wait_for(lambda: len(workers.pids) == 2)
        [folder] = temporary.glob("persona-stream-metrics-*")
        assert folder.stat().st_mode & 0o077 == 0

        answered = [cluster.ask(f"0 answered {number}") for number in range(6)]
        assert all(follower.result()["status"] == "complete" for follower in answered)
        running = [cluster.ask(f"60 running {number}", resumes=False) for number in range(12)]
        for follower in running:
            assert follower.opened.wait(10)
        wait_for(lambda: scrape(server)("open_streams") == 12)
        for _ in range(6):  # each connection may be accepted by either worker
            seen = scrape(server)
            assert seen("runs_started_total", **SMART) == 18
            assert seen("runs_ended_total", status="complete", code="none", **SMART) == 6
            assert seen("runs_in_flight", **BACKEND) == seen("places_taken") == 12
            assert seen("places") == 100

        dead = workers.pids[0]
        os.kill(dead, signal.SIGKILL)
        wait_for(lambda: len(set(workers.pids) - {dead}) == 2)
        wait_for(lambda: scrape(server)("runs_in_flight", **BACKEND) < 12)
        wait_for(lambda: any(follower.ending or follower.problem or follower.breaks for follower in running))
        seen = scrape(server)
        assert seen("runs_started_total", **SMART) == 18
        assert seen("runs_ended_total", status="complete", code="none", **SMART) == 6
        assert seen("runs_in_flight", **BACKEND) == seen("places_taken")
        server.process.terminate()
        assert server.process.wait(timeout=30) == 0
        assert not list(temporary.glob("persona-stream-metrics-*"))


def test_unavailable_redis_is_visible_in_the_metrics(tmp_path: Path):
    """Until it is available again."""
    with Cluster(tmp_path, count=1) as cluster:
        server = cluster.servers[0]
        assert scrape(server)("store_missing", store="journals") == 0
        cluster.redis.hold()
        wait_for(lambda: scrape(server)("store_missing", store="journals") == 1)
        cluster.redis.release()
        wait_for(lambda: scrape(server)("store_missing", store="journals") == 0)

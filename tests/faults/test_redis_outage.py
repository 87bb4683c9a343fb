"""Redis outages: Redis is killed, suspended, slow, or restarted empty; no request hangs and no text is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cluster import Cluster
from tests.faults.recording_backend import answer
from tests.faults.slow_proxy import SlowProxy
from tests.polling import wait_for
from tests.redis_server import needs_redis

pytestmark = needs_redis

SMART = "/api/stream_chat_smart"
BODY = {"username": "x", "message": "0 refused", "locale": "en"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("away"), retention="60s", disconnect_grace=5) as cluster:
        yield cluster


def all_are_ready(cluster: Cluster) -> bool:
    return all(server.get("/readyz", None).status_code == 200 for server in cluster.servers)


@pytest.mark.parametrize("how", ["killed", "held"])
def test_without_redis_requests_fail_within_two_seconds(cluster: Cluster, how: str):
    """With 503, an error text and Retry-After."""
    server = cluster.servers[0]
    cluster.redis.kill() if how == "killed" else cluster.redis.hold()
    try:
        for call in (
            lambda: server.post(SMART, BODY, headers={"Accept": "application/json"}),
            lambda: server.post("/api/chat", BODY),
            lambda: server.get("/api/runs"),
            lambda: server.get("/api/runs/01kaf0000000000000000000zz"),
            lambda: server.get("/api/runs/01kaf0000000000000000000zz/events", headers={"Accept": "application/json"}),
        ):
            began = time.monotonic()
            response = call()
            assert time.monotonic() - began < 2.0 + 1.5  # seconds; the requests share two processors with other tests
            assert (response.status_code, response.json()["code"]) == (503, "unavailable")
            assert int(response.headers["Retry-After"]) > 0
            assert "Redis" in response.json()["error"]
        ready = server.get("/readyz", None)
        assert (ready.status_code, ready.json()) == (503, {"status": "unavailable", "missing": ["redis"]})
        assert server.get("/healthz", None).status_code == 200
    finally:
        cluster.redis.start() if how == "killed" else cluster.redis.release()
    wait_for(lambda: all_are_ready(cluster))
    assert cluster.ask(f"0 after it was {how}").result()["status"] == "complete"


@pytest.mark.parametrize("how", ["killed", "held"])
@pytest.mark.parametrize("at", ["waiting", "ending"])
def test_runs_during_an_outage_complete_when_redis_is_available_again(cluster: Cluster, how: str, at: str):
    """Subscribers of all processes receive progress, a comment about the outage, and each character once.

    A killed Redis restarts empty; then the process that executes the run restores it.
    """
    message = f"{6 if at == 'waiting' else 2} {how} while {at}"
    here = cluster.ask(message)
    assert here.opened.wait(10)
    there = cluster.read(here.run_id, at=1)
    assert there.opened.wait(10)
    time.sleep(0.5)  # the backend is working when the outage begins
    cluster.redis.kill() if how == "killed" else cluster.redis.hold()
    try:
        time.sleep(5)
        assert here.ending is None
        assert there.ending is None
        assert here.text == there.text == ""
    finally:
        cluster.redis.start() if how == "killed" else cluster.redis.release()
    for follower in (here, there):
        assert follower.result(20)["status"] == "complete"
        assert follower.text == answer(message)
        assert any("unavailable" in comment for comment in follower.comments)
        assert follower.statuses.count("processing_complete") == 1
    assert cluster.times_run(message) == 1
    wait_for(lambda: cluster.left_over() == {})
    shown = cluster.servers[1].get(f"/api/runs/{here.run_id}").json()
    assert (shown["status"], shown["data"]) == ("complete", answer(message))


def test_a_deadline_passes_during_an_outage(tmp_path: Path):
    """The backend is stopped at the deadline, and the end is visible when Redis is available again."""
    with Cluster(tmp_path, count=1, timeout=2) as cluster:
        follower = cluster.ask("60 past its deadline")
        assert follower.opened.wait(10)
        cluster.redis.hold()
        time.sleep(3)  # longer than the deadline
        cluster.redis.release()
        ending = follower.result(10)
        assert ending["status"] == "timeout"
        assert 1.9 < ending["elapsed_time"] < 2.9


def test_streams_end_if_redis_does_not_return(tmp_path: Path):
    """After the retention period with the code ``lost``."""
    with Cluster(tmp_path, count=1, retention=4) as cluster:
        follower = cluster.ask("1 for ever")
        assert follower.opened.wait(10)
        cluster.redis.kill()
        assert follower.result(20)["code"] == "lost"
        cluster.redis.start()


def test_a_slow_redis_only_delays_streams(tmp_path: Path):
    """With a delay of 0.3 s in each direction."""
    with Cluster(tmp_path, count=0, lease=15) as cluster:
        proxy = SlowProxy(cluster.redis.port, 0.3)
        cluster._settings["redis_url"] = proxy.url
        cluster.servers = [cluster.serve(), cluster.serve()]
        here = cluster.ask("1 slowly")
        assert here.opened.wait(10)
        there = cluster.read(here.run_id, at=1)
        for follower in (here, there):
            assert follower.result()["status"] == "complete"
            assert follower.text == answer("1 slowly")
        assert cluster.times_run("1 slowly") == 1
        proxy.close()

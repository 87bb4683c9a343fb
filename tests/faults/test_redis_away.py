"""Redis stops, hangs, is slow, and comes back empty: nothing hangs, and no character is lost or doubled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.backend import answer
from tests.faults.cluster import Cluster
from tests.faults.wire import Wire
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
def test_without_redis_nothing_starts_and_nothing_hangs(cluster: Cluster, how: str):
    """Within two seconds there is a true status, a reason, and when to come back."""
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
            assert time.monotonic() - began < 2.2
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
def test_what_runs_while_redis_is_away_is_answered_when_it_is_back(cluster: Cluster, how: str, at: str):
    """Readers here and elsewhere keep their progress, are told by a comment, and get every character once.

    A Redis that was killed comes back empty: then the process that runs the query brings the run back.
    """
    message = f"{6 if at == 'waiting' else 2} {how} while {at}"
    here, there_id = cluster.ask(message), ""
    assert here.opened.wait(10)
    there_id = here.run_id
    there = cluster.read(there_id, at=1)
    assert there.opened.wait(10)
    time.sleep(0.5)  # so that it is in the middle of its work when Redis goes
    cluster.redis.kill() if how == "killed" else cluster.redis.hold()
    try:
        time.sleep(5)  # for so long Redis is away
        assert here.ending is None
        assert there.ending is None
        assert here.text == there.text == ""
    finally:
        cluster.redis.start() if how == "killed" else cluster.redis.release()
    for follower in (here, there):
        assert follower.result(20)["status"] == "complete"
        assert follower.text == answer(message)
        assert any("out of reach" in comment for comment in follower.comments)
        assert follower.statuses.count("processing_complete") == 1
    assert cluster.times_run(message) == 1
    wait_for(lambda: cluster.left_over() == {})
    shown = cluster.servers[1].get(f"/api/runs/{there_id}").json()
    assert (shown["status"], shown["data"]) == ("complete", answer(message))


def test_a_deadline_passes_while_redis_is_away(tmp_path: Path):
    """The work is stopped at its time, and the ending shows when it can be kept."""
    with Cluster(tmp_path, count=1, timeout=2) as cluster:
        follower = cluster.ask("60 past its deadline")
        assert follower.opened.wait(10)
        cluster.redis.hold()
        time.sleep(3)  # longer than the deadline
        cluster.redis.release()
        ending = follower.result(10)
        assert ending["status"] == "timeout"
        assert 1.9 < ending["elapsed_time"] < 2.5


def test_a_redis_that_never_comes_back_keeps_nobody_waiting_for_ever(tmp_path: Path):
    """After the retention nobody can tell any more how the run ended."""
    with Cluster(tmp_path, count=1, retention=4) as cluster:
        follower = cluster.ask("1 for ever")
        assert follower.opened.wait(10)
        cluster.redis.kill()
        assert follower.result(20)["code"] == "lost"
        cluster.redis.start()


def test_a_slow_redis_is_slow_and_no_more(tmp_path: Path):
    """A third of a second each way: everything takes its time, and everything is right."""
    with Cluster(tmp_path, count=0, lease=15) as cluster:
        wire = Wire(cluster.redis.port, 0.3)
        cluster._settings["redis_url"] = wire.url
        cluster.servers = [cluster.serve(), cluster.serve()]
        here = cluster.ask("1 slowly")
        assert here.opened.wait(10)
        there = cluster.read(here.run_id, at=1)
        for follower in (here, there):
            assert follower.result()["status"] == "complete"
            assert follower.text == answer("1 slowly")
        assert cluster.times_run("1 slowly") == 1
        wire.close()

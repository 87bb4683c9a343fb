"""Processes that are killed, suspended and terminated: all clients receive a final event, no query runs twice."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.faults.cluster import LEASE, Cluster, Workers
from tests.faults.follower import Follower
from tests.faults.recording_backend import answer
from tests.polling import wait_for
from tests.redis_server import needs_redis

pytestmark = needs_redis


@pytest.fixture
def cluster(tmp_path: Path):
    with Cluster(tmp_path, retention="60s") as cluster:
        yield cluster


def wait_until_no_runs_are_left(cluster: Cluster) -> None:
    wait_for(lambda: cluster.left_over() == {})


def test_the_runs_of_a_dead_process_end_for_all_subscribers(cluster: Cluster):
    """Within the lease, with the code ``lost``; earlier answers stay available."""
    answered = cluster.ask("0 answered before")
    wait_for(lambda: "streaming" in answered.statuses)
    running = [cluster.ask(f"30 number {number}") for number in range(5)]
    for follower in running:
        assert follower.opened.wait(10)
    watching = [cluster.read(follower.run_id, at=1, resumes=False) for follower in running]
    for follower in watching:
        assert follower.opened.wait(10)
    cluster.servers[0].process.kill()
    died = time.monotonic()
    for follower in (*running, *watching):
        ending = follower.result(LEASE + 5)
        assert (ending["status"], ending["code"]) == ("error", "lost")
    assert time.monotonic() - died < LEASE + 2
    assert answered.result()["status"] == "complete"
    assert answered.text == answer("0 answered before")
    assert all(cluster.times_run(f"30 number {number}") == 1 for number in range(5))
    wait_until_no_runs_are_left(cluster)


def test_a_process_suspended_beyond_its_lease_does_not_overwrite_the_end(cluster: Cluster):
    """When it resumes and answers, the run has already ended."""
    follower = cluster.ask("2 slept through", at=0)
    assert follower.opened.wait(10)
    watching = cluster.read(follower.run_id, at=1)
    os.kill(cluster.servers[0].process.pid, signal.SIGSTOP)
    assert watching.result(LEASE + 5)["code"] == "lost"
    time.sleep(0.5)  # it stays suspended after its run has ended
    os.kill(cluster.servers[0].process.pid, signal.SIGCONT)
    assert follower.result()["code"] == "lost"
    assert follower.text == ""
    shown = cluster.servers[0].get(f"/api/runs/{follower.run_id}").json()
    assert shown["code"] == "lost"
    assert cluster.ask("0 and it serves on").result()["status"] == "complete"
    wait_until_no_runs_are_left(cluster)


def test_a_process_suspended_within_its_lease_keeps_its_runs(cluster: Cluster):
    """A late renewal does not end its runs."""
    follower = cluster.ask("2 a nap")
    assert follower.opened.wait(10)
    os.kill(cluster.servers[0].process.pid, signal.SIGSTOP)
    time.sleep(LEASE / 3)
    os.kill(cluster.servers[0].process.pid, signal.SIGCONT)
    assert follower.result()["status"] == "complete"
    assert follower.text == answer("2 a nap")


def test_a_terminated_process_hands_its_clients_over(cluster: Cluster):
    """Resuming clients are handed over at once, the others are served to the end, and runs finish."""
    going_on = [cluster.ask(f"4 going on {number}") for number in range(10)]
    staying = [cluster.ask(f"4 staying {number}", resumes=False) for number in range(10)]
    for follower in (*going_on, *staying):
        assert follower.opened.wait(10)
    stopped_at = time.monotonic()
    cluster.servers[0].process.terminate()
    wait_for(lambda: all(follower.breaks for follower in going_on), 3)
    assert time.monotonic() - stopped_at < 3
    for follower in (*going_on, *staying):
        assert follower.result()["status"] == "complete"
        assert follower.text == answer(follower.body["message"])
        assert cluster.times_run(follower.body["message"]) == 1
    assert all(any("connection hand-over" in comment for comment in follower.comments) for follower in going_on)
    assert all(follower.breaks == 0 for follower in staying)
    assert cluster.servers[0].process.wait(timeout=30) == 0
    wait_until_no_runs_are_left(cluster)
    assert not cluster.redis.client().zrange("persona_stream:processes", 0, -1)[1:]


def test_runs_that_exceed_the_drain_time_end_with_draining(tmp_path: Path):
    """Also for clients that resumed at another server."""
    with Cluster(tmp_path, drain=1) as cluster:
        follower = cluster.ask("60 too long")
        staying = cluster.ask("60 too long to stay", resumes=False)
        assert follower.opened.wait(10)
        assert staying.opened.wait(10)
        cluster.servers[0].process.terminate()
        assert follower.result(10)["code"] == "draining"
        assert staying.result(10)["code"] == "draining"
        assert cluster.servers[0].process.wait(timeout=15) == 0
        wait_until_no_runs_are_left(cluster)


def test_a_connection_is_handed_over_at_its_maximum_age(tmp_path: Path):
    """Only if the client announced that it resumes."""
    with Cluster(tmp_path, count=1, max_connection_age=1) as cluster:
        follower = cluster.ask("4 getting old")
        staying = cluster.ask("4 getting old here", resumes=False)
        assert follower.result()["status"] == "complete"
        assert follower.text == answer("4 getting old")
        assert follower.breaks >= 3
        assert staying.result()["status"] == "complete"
        assert staying.breaks == 0


def test_a_crashed_worker_is_replaced(tmp_path: Path):
    """Its runs end with ``lost``, the other runs continue, and the server stays available."""
    with Cluster(tmp_path, count=1, workers=2, retention="60s") as cluster:
        workers = Workers(cluster)
        wait_for(lambda: len(workers.pids) == 2)
        followers = [cluster.ask(f"3 worker {number}") for number in range(12)]
        for follower in followers:
            assert follower.opened.wait(10)
        os.kill(workers.pids[0], signal.SIGKILL)
        endings = [follower.result(20) for follower in followers]
        assert {ending["status"] for ending in endings} <= {"complete", "error"}
        assert {ending["code"] for ending in endings if ending["status"] == "error"} <= {"lost"}
        for follower, ending in zip(followers, endings, strict=True):
            assert follower.text == (answer(follower.body["message"]) if ending["status"] == "complete" else "")
            # A lost run may have ended before its backend was called.
            assert cluster.times_run(follower.body["message"]) in ((1,) if ending["status"] == "complete" else (0, 1))
        wait_for(lambda: len(workers.pids) == 2)
        assert cluster.ask("0 and on").result()["status"] == "complete"
        wait_until_no_runs_are_left(cluster)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_recycled_worker_drains_without_losing_text(tmp_path: Path, number: signal.Signals):
    """A terminated worker hands its clients over to the other, and its runs finish; other signals are ignored."""
    with Cluster(tmp_path, count=1, workers=2, retention="60s") as cluster:
        workers = Workers(cluster)
        wait_for(lambda: len(workers.pids) == 2)
        followers = [cluster.ask(f"3 recycled {number}") for number in range(12)]
        for follower in followers:
            assert follower.opened.wait(10)
        old = workers.pids[0]
        for ignored in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM):
            os.kill(old, ignored)
        os.kill(old, number)
        for follower in followers:
            assert follower.result()["status"] == "complete"
            assert follower.text == answer(follower.body["message"])
        wait_for(lambda: old not in workers.pids and len(workers.pids) == 2)
        last = [cluster.ask(f"2 at the end {number}", resumes=False) for number in range(6)]
        for follower in last:
            assert follower.opened.wait(10)
        cluster.servers[0].process.terminate()
        for follower in last:
            assert follower.result()["status"] == "complete"
        assert cluster.servers[0].process.wait(timeout=30) == 0
        wait_until_no_runs_are_left(cluster)


def test_a_follower_without_a_final_event_fails():
    """Otherwise the tests of this module could not fail."""
    follower = Follower.__new__(Follower)
    follower.problem = None
    follower.ending = None
    follower.statuses = []
    follower.join = lambda timeout=None: None
    with pytest.raises(AssertionError, match="no ending in time"):
        follower.result(0)


def test_processes_share_slots(tmp_path: Path):
    """Each has an equal share; when one dies, the other has all of them and starts the queued runs."""
    with Cluster(tmp_path, max_runs_shared=4, drain=0) as cluster:
        wait_for(
            lambda: all("persona_stream_places 2.0" in each.get("/metrics", None).text for each in cluster.servers)
        )
        running = [cluster.ask(f"30 number {number}", resumes=False) for number in range(4)]
        wait_for(lambda: sum("queued" in follower.statuses for follower in running) == 2)
        queued = [follower for follower in running if "queued" in follower.statuses]
        cluster.servers[1].process.kill()
        wait_for(lambda: all("processing" in follower.statuses for follower in queued), 20)
        assert not any(follower.ending for follower in running)

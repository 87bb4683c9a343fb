"""Processes die, sleep, and are told to stop: every reader has its ending, and nothing is run twice."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.faults.backend import answer
from tests.faults.cluster import LEASE, Cluster, Workers
from tests.faults.follower import Follower
from tests.polling import wait_for
from tests.redis_server import needs_redis

pytestmark = needs_redis


@pytest.fixture
def cluster(tmp_path: Path):
    with Cluster(tmp_path, retention="60s") as cluster:
        yield cluster


def nothing_is_left(cluster: Cluster) -> None:
    wait_for(lambda: cluster.left_over() == {})


def test_when_a_process_dies_its_runs_end_everywhere(cluster: Cluster):
    """Within the lease, with an honest word; what was answered before stays, whole."""
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
    nothing_is_left(cluster)


def test_a_process_that_sleeps_through_its_lease_does_not_write_over_the_ending(cluster: Cluster):
    """It wakes up, answers, and is told that the run has ended."""
    follower = cluster.ask("2 slept through", at=0)
    assert follower.opened.wait(10)
    watching = cluster.read(follower.run_id, at=1)
    os.kill(cluster.servers[0].process.pid, signal.SIGSTOP)
    assert watching.result(LEASE + 5)["code"] == "lost"
    time.sleep(0.5)  # it goes on sleeping for a while after its run was ended
    os.kill(cluster.servers[0].process.pid, signal.SIGCONT)
    assert follower.result()["code"] == "lost"
    assert follower.text == ""
    shown = cluster.servers[0].get(f"/api/runs/{follower.run_id}").json()
    assert shown["code"] == "lost"
    assert cluster.ask("0 and it serves on").result()["status"] == "complete"
    nothing_is_left(cluster)


def test_a_process_that_naps_within_its_lease_loses_nothing(cluster: Cluster):
    """Late is not dead."""
    follower = cluster.ask("2 a nap")
    assert follower.opened.wait(10)
    os.kill(cluster.servers[0].process.pid, signal.SIGSTOP)
    time.sleep(LEASE / 3)  # the nap itself
    os.kill(cluster.servers[0].process.pid, signal.SIGCONT)
    assert follower.result()["status"] == "complete"
    assert follower.text == answer("2 a nap")


def test_a_process_that_is_told_to_stop_hands_its_readers_over(cluster: Cluster):
    """Who goes on by itself is sent on at once; everybody else is served to the end; what runs finishes."""
    going_on = [cluster.ask(f"4 going on {number}") for number in range(10)]
    staying = [cluster.ask(f"4 staying {number}", resumes=False) for number in range(10)]
    for follower in (*going_on, *staying):
        assert follower.opened.wait(10)
    told = time.monotonic()
    cluster.servers[0].process.terminate()
    wait_for(lambda: all(follower.breaks for follower in going_on), 3)
    assert time.monotonic() - told < 3
    for follower in (*going_on, *staying):
        assert follower.result()["status"] == "complete"
        assert follower.text == answer(follower.body["message"])
        assert cluster.times_run(follower.body["message"]) == 1
    assert all(any("connection hand-over" in comment for comment in follower.comments) for follower in going_on)
    assert all(follower.breaks == 0 for follower in staying)
    assert cluster.servers[0].process.wait(timeout=30) == 0
    nothing_is_left(cluster)
    assert not cluster.redis.client().zrange("persona_stream:processes", 0, -1)[1:]


def test_what_does_not_finish_in_the_drain_time_ends_with_draining(tmp_path: Path):
    """Also for those who went on elsewhere."""
    with Cluster(tmp_path, drain=1) as cluster:
        follower, staying = cluster.ask("60 too long"), cluster.ask("60 too long to stay", resumes=False)
        assert follower.opened.wait(10)
        assert staying.opened.wait(10)
        cluster.servers[0].process.terminate()
        assert follower.result(10)["code"] == "draining"
        assert staying.result(10)["code"] == "draining"
        assert cluster.servers[0].process.wait(timeout=15) == 0
        nothing_is_left(cluster)


def test_a_connection_that_gets_old_is_handed_over(tmp_path: Path):
    """Only to those who announced that they go on by themselves."""
    with Cluster(tmp_path, count=1, max_connection_age=1) as cluster:
        follower, staying = cluster.ask("4 getting old"), cluster.ask("4 getting old here", resumes=False)
        assert follower.result()["status"] == "complete"
        assert follower.text == answer("4 getting old")
        assert follower.breaks >= 3
        assert staying.result()["status"] == "complete"
        assert staying.breaks == 0


def test_workers_share_everything_and_one_that_crashes_is_replaced(tmp_path: Path):
    """A reader of a crashed worker's run is told; readers of others go on; the address serves all the time."""
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
            # One that was lost may have been struck before its backend said a word.
            assert cluster.times_run(follower.body["message"]) in ((1,) if ending["status"] == "complete" else (0, 1))
        wait_for(lambda: len(workers.pids) == 2)
        assert cluster.ask("0 and on").result()["status"] == "complete"
        nothing_is_left(cluster)


def test_workers_drain_and_the_readers_of_one_that_is_recycled_lose_nothing(tmp_path: Path):
    """A worker that is told to stop sends its readers on to the other, and its runs finish."""
    with Cluster(tmp_path, count=1, workers=2, retention="60s") as cluster:
        workers = Workers(cluster)
        wait_for(lambda: len(workers.pids) == 2)
        followers = [cluster.ask(f"3 recycled {number}") for number in range(12)]
        for follower in followers:
            assert follower.opened.wait(10)
        old = workers.pids[0]
        os.kill(old, signal.SIGTERM)
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
        nothing_is_left(cluster)


def test_followers_can_fail():
    """A reader that never gets an ending is noticed, or nothing above means anything."""
    follower = Follower.__new__(Follower)
    follower.problem = follower.ending = None
    follower.statuses = []
    follower.join = lambda timeout=None: None
    with pytest.raises(AssertionError, match="no ending in time"):
        follower.result(0)


def test_processes_share_places(tmp_path: Path):
    """Each has its part of them; when one dies, the other one has them all, and lets in who waits."""
    with Cluster(tmp_path, max_runs_shared=4, drain=0) as cluster:
        wait_for(
            lambda: all("persona_stream_places 2.0" in each.get("/metrics", None).text for each in cluster.servers)
        )
        running = [cluster.ask(f"30 number {number}", resumes=False) for number in range(4)]
        wait_for(lambda: sum("queued" in follower.statuses for follower in running) == 2)
        waits = [follower for follower in running if "queued" in follower.statuses]
        cluster.servers[1].process.kill()
        wait_for(lambda: all("processing" in follower.statuses for follower in waits), 20)
        assert not any(follower.ending for follower in running)

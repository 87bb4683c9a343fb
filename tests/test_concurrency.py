"""Helpers of the event loop."""

from __future__ import annotations

import time

import gevent

from persona_stream.concurrency import SharedTimer, Timer, TimeSlice


def test_a_timer_counts_from_its_start_although_the_loop_was_blocked() -> None:
    """gevent's loop caches its time; a run's deadline must not move forward by the time that a backend blocks it."""
    gevent.sleep(0.01)  # resumed by a watcher, in which gevent does not update the time of the loop by itself
    time.sleep(0.3)
    expired: list[float] = []
    began = time.monotonic()
    timer = Timer(0.2, lambda: expired.append(time.monotonic() - began))
    while not expired:
        gevent.sleep(0.01)
    assert expired[0] >= 0.19
    timer.cancel()


def test_shared_timers_call_in_order_and_soon_after_their_time() -> None:
    """A cancelled one never, and one that raises does not stop the others."""
    called: list[tuple[str, float]] = []
    began = time.monotonic()

    def call(name: str) -> None:
        called.append((name, time.monotonic() - began))
        if name == "raises":
            raise ValueError(name)

    for seconds, name in ((0.1, "last"), (0.05, "raises"), (0.05, "second"), (0.0, "first")):
        SharedTimer(seconds, lambda name=name: call(name))
    SharedTimer(0.05, lambda: call("never")).cancel()
    assert called == []
    gevent.sleep(0.2)
    assert [name for name, _ in called] == ["first", "raises", "second", "last"]
    for (_, at), seconds in zip(called, (0.0, 0.05, 0.05, 0.1), strict=True):
        assert at >= seconds - 0.006


def test_work_that_shares_a_turn_lets_the_loop_poll() -> None:
    """However many greenlets work without ever waiting for anything else."""
    turn = TimeSlice()
    until = time.monotonic() + 0.5

    def work() -> None:
        while time.monotonic() < until:
            turn.limit()

    workers = [gevent.spawn(work) for _ in range(10)]
    delays: list[float] = []
    while time.monotonic() < until:
        began = time.monotonic()
        gevent.sleep(0.001)
        delays.append(time.monotonic() - began)
    gevent.joinall(workers)
    assert len(delays) > 20

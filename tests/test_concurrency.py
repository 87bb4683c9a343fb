"""Helpers of the event loop."""

from __future__ import annotations

import time

import gevent

from persona_stream.concurrency import Timer


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

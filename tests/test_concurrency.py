"""Helpers of the event loop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import gevent
import pytest

from persona_stream.concurrency import (
    LARGE_CHARACTERS,
    SharedTimer,
    Timer,
    TimeSlice,
    Wakeup,
    compute_in_threadpool,
    yield_when_logging,
)


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


def test_a_wait_ends_when_its_condition_holds() -> None:
    """A signal alone does not end it; a condition without a signal is found by polling."""
    events: list[str] = []
    wakeup = Wakeup()

    def signal() -> None:
        for event in ("first", "second"):
            events.append(event)
            wakeup.set()
            gevent.sleep(0)

    gevent.spawn(signal)
    assert wakeup.wait_until(lambda: len(events) == 2, 20.0)
    gevent.spawn_later(0.01, events.append, "third")
    assert wakeup.wait_until(lambda: len(events) == 3, 20.0, poll_interval=0.01)


def test_a_wait_is_limited() -> None:
    """Its condition is checked at least once, also without any time."""
    assert not Wakeup().wait_until(lambda: False, 0.05)
    assert not Wakeup().wait_until(lambda: False, 0.0)
    assert Wakeup().wait_until(lambda: True, 0.0)


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
    until = time.process_time() + 0.5  # of a processor that others use too

    def work() -> None:
        while time.process_time() < until:
            turn.limit()

    workers = [gevent.spawn(work) for _ in range(10)]
    polls = 0
    while time.process_time() < until:
        gevent.sleep(0.001)
        polls += 1
    gevent.joinall(workers)
    assert polls > 20


@pytest.fixture
def cooperative_logging() -> Iterator[None]:
    """Let greenlets of this thread yield when they log."""
    factory = logging.getLogRecordFactory()
    yield_when_logging()
    yield
    logging.setLogRecordFactory(factory)


@pytest.mark.usefixtures("cooperative_logging")
def test_code_that_only_logs_lets_the_loop_run() -> None:
    """It ends when its greenlet is killed."""
    logger = logging.getLogger("my_bot")

    def flood() -> None:
        while True:
            logger.makeRecord("my_bot", logging.DEBUG, "", 0, "a record", (), None)

    flooding = gevent.spawn(flood)
    gevent.sleep(0.01)  # it logs meanwhile
    flooding.kill()
    assert flooding.dead


@pytest.mark.usefixtures("cooperative_logging")
def test_no_other_greenlet_runs_while_the_server_logs() -> None:
    """Its code relies on that between two waits."""
    ran: list[bool] = []
    gevent.spawn(ran.append, True)
    logger = logging.getLogger("persona_stream.runs")
    until = time.monotonic() + 0.05
    while time.monotonic() < until:
        logger.makeRecord(logger.name, logging.DEBUG, "", 0, "a record", (), None)
    assert ran == []


@pytest.mark.parametrize(("characters", "most"), [(LARGE_CHARACTERS, 1), (LARGE_CHARACTERS - 1, 3)])
def test_large_texts_are_processed_in_turns(characters: int, most: int) -> None:
    """Threads that process shorter ones do not wait for each other."""
    began = threading.Barrier(most)
    running: list[int] = []
    seen: list[int] = []

    def compute(number: int) -> int:
        running.append(number)
        began.wait(20)
        seen.append(len(running))
        running.remove(number)
        return number

    computing = [gevent.spawn(compute_in_threadpool, characters, compute, number) for number in range(3)]
    gevent.joinall(computing, timeout=20)
    assert [each.value for each in computing] == [0, 1, 2]
    assert max(seen) == most

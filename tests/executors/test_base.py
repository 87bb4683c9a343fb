"""What every executor does: the same tests for all of them."""

from __future__ import annotations

import asyncio
import time

import gevent
import pytest
from gevent.event import AsyncResult

from persona_stream.executors.asyncio import AsyncioExecutor
from persona_stream.executors.base import Executor, Raised, Returned
from persona_stream.executors.greenlet import GreenletExecutor
from persona_stream.executors.thread import ThreadExecutor

KINDS = {"greenlet": GreenletExecutor, "thread": lambda: ThreadExecutor(2), "event loop": AsyncioExecutor}


@pytest.fixture(params=KINDS)
def executor(request: pytest.FixtureRequest) -> Executor:
    return KINDS[request.param]()


def run(executor: Executor, work):
    """Start work; give its handle, and what its outcome and its release will be."""
    outcome, released = AsyncResult(), []
    end = AsyncResult()

    def release() -> None:
        released.append(True)
        end.set(outcome.get(block=False) if outcome.ready() else None)

    handle = executor.start(work, outcome.set, release)
    return handle, end, released


def test_a_value_comes_back(executor):
    """And the place is given back once."""
    _, end, released = run(executor, lambda: "Hello")
    assert end.get(timeout=5) == Returned("Hello")
    gevent.sleep(0.01)
    assert released == [True]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), RecursionError()])
def test_an_error_comes_back(executor, error):
    """Also those that would end a process."""

    def fail() -> None:
        raise error

    _, end, released = run(executor, fail)
    assert end.get(timeout=5) == Raised(error)
    assert released == [True]


def test_a_greenlet_is_killed_where_it_waits():
    """It has no outcome, and its cleaning up is done."""
    cleaned = []

    def wait() -> None:
        try:
            gevent.sleep(60)
        finally:
            cleaned.append(True)

    handle, end, released = run(GreenletExecutor(), wait)
    gevent.sleep(0)
    assert handle.cancel()
    assert end.get(timeout=5) is None
    assert (cleaned, released) == ([True], [True])


def test_a_greenlet_killed_before_its_first_turn_gives_its_place_back():
    """Nothing of it ran, and nothing is leaked."""
    handle, end, released = run(GreenletExecutor(), lambda: "never")
    handle.cancel()
    assert end.get(timeout=5) is None
    assert released == [True]


def test_a_thread_does_not_stop_the_hub():
    """Others move on while it waits in C; and it cannot be killed, and says so."""
    handle, end, _ = run(ThreadExecutor(1), lambda: time.sleep(0.2) or "done")
    ticks = 0
    while not end.ready():
        gevent.sleep(0.01)
        ticks += 1
    assert end.get() == Returned("done")
    assert ticks > 5
    assert not handle.cancel()


def test_async_work_runs_on_an_event_loop():
    """With its sleeps, its threads and its own context."""

    async def ask() -> str:
        await asyncio.sleep(0.01)
        return await asyncio.to_thread(lambda: "from a thread")

    _, end, _ = run(AsyncioExecutor(), ask)
    assert end.get(timeout=5) == Returned("from a thread")


def test_an_error_in_a_thread_of_async_work_reaches_it():
    """asyncio.to_thread raises where it is awaited."""

    def fail() -> None:
        raise ValueError("no")

    async def ask() -> str:
        with pytest.raises(ValueError, match="no"):
            await asyncio.to_thread(fail)
        return "caught"

    _, end, _ = run(AsyncioExecutor(), ask)
    assert end.get(timeout=5) == Returned("caught")


def test_many_async_works_share_a_loop():
    """They wait at the same time."""

    async def ask() -> str:
        await asyncio.sleep(0.2)
        return "done"

    executor, began = AsyncioExecutor(), time.monotonic()
    ends = [run(executor, ask)[1] for _ in range(200)]
    assert [end.get(timeout=5) for end in ends] == [Returned("done")] * 200
    assert time.monotonic() - began < 5.0, "one after the other they would take 40 seconds"


def test_async_work_is_cancelled_where_it_awaits():
    """It has no outcome, and its cleaning up is done."""
    cleaned = []

    async def ask() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(True)

    handle, end, released = run(AsyncioExecutor(), ask)
    gevent.sleep(0.05)
    assert handle.cancel()
    assert end.get(timeout=5) is None
    assert (cleaned, released) == ([True], [True])


def test_async_work_that_cancels_itself_has_failed():
    """Nobody asked it to, so its run must not wait for the deadline."""

    async def ask() -> None:
        raise asyncio.CancelledError

    _, end, _ = run(AsyncioExecutor(), ask)
    assert isinstance(end.get(timeout=5), Raised)

"""A backend that blocks the hub moves to threads; its later queries, and no other's."""

from __future__ import annotations

import sys

import gevent
from gevent.event import AsyncResult

from persona_stream.backends.base import Backend
from persona_stream.executors.asyncio import AsyncioExecutor
from persona_stream.executors.base import Returned, TaskResult
from persona_stream.executors.registry import AutoExecutors
from persona_stream.executors.thread import ThreadExecutor

SLOW, OTHER = Backend("slow", lambda query: ""), Backend("other", lambda query: "")


def blame_from_within(executors: AutoExecutors, backend: Backend) -> str:
    """Have the watchdog find this backend's own code at work."""
    outcome: AsyncResult[TaskResult] = AsyncResult()
    executors.for_backend(backend).start(lambda: executors.on_hub_blocked(sys._getframe()), outcome.set, lambda: None)
    found = outcome.get(timeout=5)
    assert isinstance(found, Returned)
    return str(found.value)


def test_who_is_caught_moves_and_nobody_else():
    """It is said once what was done, with the name; where there is nothing more to do, that is said."""
    executors = AutoExecutors(3)
    assert executors.capacity is None
    assert executors.capacity_of("slow") is None
    assert blame_from_within(executors, SLOW).startswith(" Later queries of slow run in threads;")
    moved = executors.for_backend(SLOW)
    assert isinstance(moved, ThreadExecutor)
    assert moved is executors.for_backend(SLOW)
    assert (executors.capacity_of("slow"), executors.capacity_of("other")) == (3, None)
    assert not isinstance(executors.for_backend(OTHER), ThreadExecutor)


def test_what_ran_before_is_not_moved_twice():
    """A query that began in a greenlet may block again."""
    executors = AutoExecutors(3)
    before = executors.for_backend(SLOW)
    blame_from_within(executors, SLOW)
    outcome: AsyncResult[TaskResult] = AsyncResult()
    before.start(lambda: executors.on_hub_blocked(sys._getframe()), outcome.set, lambda: None)
    assert outcome.get(timeout=5) == Returned(" Later queries of slow run in threads already.")


def test_what_is_nobodys_work_is_not_moved():
    """It may be ours; then there is advice and no more."""
    executors = AutoExecutors(3)
    assert executors.on_hub_blocked(sys._getframe()) == " Run it with --executor thread."
    assert executors._moved == {}


def test_async_backends_stay_on_their_loop():
    """Nothing of theirs runs in the hub."""
    executors = AutoExecutors(3)
    awaiting = Backend("slow", lambda query: "", is_async=True)
    blame_from_within(executors, SLOW)
    assert isinstance(executors.for_backend(awaiting), AsyncioExecutor)


def test_work_in_greenlets_is_killed_as_ever():
    """The mark is no wall."""
    outcome: AsyncResult[TaskResult] = AsyncResult()
    released: AsyncResult[bool] = AsyncResult()
    work = AutoExecutors(3).for_backend(SLOW).start(lambda: gevent.sleep(60), outcome.set, lambda: released.set(True))
    gevent.sleep(0)  # so that it begins
    assert work.cancel()
    assert released.get(timeout=5)
    assert not outcome.ready()

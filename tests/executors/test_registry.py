"""A backend that blocks the hub moves to threads; its later queries, and no other's."""

from __future__ import annotations

import sys

import gevent
from gevent.event import AsyncResult

from persona_stream.backends.base import Backend
from persona_stream.executors.asyncio import EventLoopExecutor
from persona_stream.executors.base import Outcome, Returned
from persona_stream.executors.registry import AutoExecutors
from persona_stream.executors.thread import ThreadExecutor

SLOW, OTHER = Backend("slow", lambda query: ""), Backend("other", lambda query: "")


def blame_from_within(executors: AutoExecutors, backend: Backend) -> str:
    """Have the watchdog find this backend's own code at work."""
    outcome: AsyncResult[Outcome] = AsyncResult()
    executors.of(backend).start(lambda: executors.blame(sys._getframe()), outcome.set, lambda: None)
    found = outcome.get(timeout=5)
    assert isinstance(found, Returned)
    return str(found.value)


def test_who_is_caught_moves_and_nobody_else():
    """It is said once what was done, with the name; where there is nothing more to do, that is said."""
    executors = AutoExecutors(3)
    assert executors.capacity is None
    assert executors.most_of("slow") is None
    assert blame_from_within(executors, SLOW).startswith(" Later queries of slow run in threads;")
    moved = executors.of(SLOW)
    assert isinstance(moved, ThreadExecutor)
    assert moved is executors.of(SLOW)
    assert (executors.most_of("slow"), executors.most_of("other")) == (3, None)
    assert not isinstance(executors.of(OTHER), ThreadExecutor)


def test_what_ran_before_is_not_moved_twice():
    """A query that began in a greenlet may block again."""
    executors = AutoExecutors(3)
    before = executors.of(SLOW)
    blame_from_within(executors, SLOW)
    outcome: AsyncResult[Outcome] = AsyncResult()
    before.start(lambda: executors.blame(sys._getframe()), outcome.set, lambda: None)
    assert outcome.get(timeout=5) == Returned(" Later queries of slow run in threads already.")


def test_what_is_nobodys_work_is_not_moved():
    """It may be ours; then there is advice and no more."""
    executors = AutoExecutors(3)
    assert executors.blame(sys._getframe()) == " Run it with --executor thread."
    assert executors._moved == {}


def test_async_backends_stay_on_their_loop():
    """Nothing of theirs runs in the hub."""
    executors = AutoExecutors(3)
    awaiting = Backend("slow", lambda query: "", is_async=True)
    blame_from_within(executors, SLOW)
    assert isinstance(executors.of(awaiting), EventLoopExecutor)


def test_work_in_greenlets_is_killed_as_ever():
    """The mark is no wall."""
    outcome: AsyncResult[Outcome] = AsyncResult()
    released: AsyncResult[bool] = AsyncResult()
    work = AutoExecutors(3).of(SLOW).start(lambda: gevent.sleep(60), outcome.set, lambda: released.set(True))
    gevent.sleep(0)  # so that it begins
    assert work.kill()
    assert released.get(timeout=5)
    assert not outcome.ready()

"""Tests of the cancel token, in greenlets and in native threads."""

from __future__ import annotations

import time

import gevent
import pytest
from gevent.threadpool import ThreadPool

from persona_stream.core.query import Query
from persona_stream.executors.greenlet import CancelToken


@pytest.fixture
def token() -> CancelToken:
    return CancelToken()


def test_a_token_stays_set(token: CancelToken):
    """And then no wait blocks."""
    assert not token
    token.set()
    token.set()
    assert token
    assert token.wait(60)


def test_greenlets_wait_without_blocking_others(token: CancelToken):
    """They wake when the token is set."""
    waiting = [gevent.spawn(token.wait, 60) for _ in range(3)]
    gevent.sleep(0)  # so that they begin to wait
    token.set()
    gevent.joinall(waiting, timeout=5)
    assert [each.value for each in waiting] == [True, True, True]


def test_native_threads_wake_too(token: CancelToken):
    """Many can wait at once, without an event loop of their own."""
    pool = ThreadPool(3)
    waiting = [pool.spawn(token.wait, 60) for _ in range(3)]
    gevent.sleep(0.1)  # until they wait: nothing shows that from outside
    token.set()
    assert [each.get(timeout=5) for each in waiting] == [True, True, True]


def test_a_wait_ends_after_its_timeout(token: CancelToken):
    """A loop of short waits leaks nothing."""
    assert not token.wait(0.01)
    assert not ThreadPool(1).apply(lambda: any(token.wait(0.001) for _ in range(20)))
    assert token._locks == []


def test_a_query_without_a_run_can_wait():
    """So backend code works in a unit test."""
    query, began = Query(username="ada", message="Hi"), time.monotonic()
    assert not query.cancelled
    assert not query.cancelled.wait(0.02)
    assert time.monotonic() - began >= 0.02

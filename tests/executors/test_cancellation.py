"""The flag that tells a query that nobody waits for it: from greenlets, from native threads, and soon."""

from __future__ import annotations

import time

import gevent
import pytest
from gevent.threadpool import ThreadPool

from persona_stream.core.query import Query
from persona_stream.executors.cancellation import CancelToken


@pytest.fixture
def flag() -> CancelToken:
    return CancelToken()


def test_it_becomes_true_once_and_stays_so(flag: CancelToken):
    """And then nobody waits."""
    assert not flag
    flag.set()
    flag.set()
    assert flag
    assert flag.wait(60)


def test_a_greenlet_waits_while_others_move_on(flag: CancelToken):
    """And is woken when it is set."""
    waiting = [gevent.spawn(flag.wait, 60) for _ in range(3)]
    gevent.sleep(0)  # so that they begin to wait
    flag.set()
    gevent.joinall(waiting, timeout=5)
    assert [each.value for each in waiting] == [True, True, True]


def test_a_native_thread_is_woken_too(flag: CancelToken):
    """Many can wait at once, and none of them has a hub of its own."""
    pool = ThreadPool(3)
    waiting = [pool.spawn(flag.wait, 60) for _ in range(3)]
    gevent.sleep(0.1)  # until they wait: nothing shows that from outside
    flag.set()
    assert [each.get(timeout=5) for each in waiting] == [True, True, True]


def test_who_waits_in_vain_is_told_so(flag: CancelToken):
    """After so many seconds; and a loop of short waits leaves nothing behind."""
    assert not flag.wait(0.01)
    assert not ThreadPool(1).apply(lambda: any(flag.wait(0.001) for _ in range(20)))
    assert flag._locks == []


def test_a_query_that_nobody_can_cancel_waits_all_the_same():
    """Code that sleeps by it runs in a test as it does under the server."""
    query, began = Query(username="ada", message="Hi"), time.monotonic()
    assert not query.cancelled
    assert not query.cancelled.wait(0.02)
    assert time.monotonic() - began >= 0.02

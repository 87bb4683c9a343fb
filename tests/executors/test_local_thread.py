"""Tests of the thread executor."""

from __future__ import annotations

import time

import gevent
import pytest

from persona_stream.backends.base import Backend
from persona_stream.core.result import Returned
from persona_stream.executors.local import ThreadExecutor
from tests.executors.contract import ExecutorContract
from tests.executors.process.sample_backends import ask
from tests.executors.recording import submit


class TestContract(ExecutorContract):
    can_cancel = False

    @pytest.fixture
    def executor(self) -> ThreadExecutor:
        return ThreadExecutor(2)

    @pytest.fixture
    def backend(self) -> Backend:
        return Backend("b", ask)


def test_a_thread_does_not_block_the_event_loop():
    """Greenlets continue while it waits in C; it cannot be cancelled, and says so."""
    task, callbacks = submit(ThreadExecutor(1), Backend("b", lambda query: time.sleep(0.2) or "done"))
    ticks = 0
    while not callbacks.released.ready():
        gevent.sleep(0.01)
        ticks += 1
    assert callbacks.released.get() == Returned("done")
    assert ticks > 5
    assert not task.cancel()

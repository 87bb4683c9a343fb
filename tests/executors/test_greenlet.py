"""Tests of the greenlet executor."""

from __future__ import annotations

import gevent
import pytest

from persona_stream.backends.base import Backend
from persona_stream.executors.greenlet import GreenletExecutor
from tests.executors.contract import ExecutorContract
from tests.executors.recording import submit
from tests.executors.worker.sample_backends import ask


class TestContract(ExecutorContract):
    @pytest.fixture
    def executor(self) -> GreenletExecutor:
        return GreenletExecutor()

    @pytest.fixture
    def backend(self) -> Backend:
        return Backend("b", ask)


def test_a_greenlet_is_killed_where_it_waits():
    """It has no result, and its ``finally`` blocks run."""
    cleaned = []

    def wait(query: object) -> None:
        try:
            gevent.sleep(60)
        finally:
            cleaned.append(True)

    task, callbacks = submit(GreenletExecutor(), Backend("b", wait))
    gevent.sleep(0)
    assert task.cancel()
    assert callbacks.released.get(timeout=5) is None
    assert cleaned == [True]
    assert callbacks.names == ["started", "released"]


def test_a_greenlet_that_is_killed_before_its_first_switch_is_released():
    """Its code never runs."""
    task, callbacks = submit(GreenletExecutor(), Backend("b", lambda query: "never"))
    task.cancel()
    assert callbacks.released.get(timeout=5) is None
    assert callbacks.names == ["started", "released"]

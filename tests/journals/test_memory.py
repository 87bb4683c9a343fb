"""Journals in memory: the contract suite with a fake clock."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from persona_stream.core.facts import Answered
from persona_stream.journals.memory import MemoryJournalStore
from tests.fakes import FakeClock
from tests.journals.contract import *  # noqa: F403 - the tests of the contract
from tests.journals.contract import create, write

_UNIT = 60.0


class _Harness:
    def __init__(self) -> None:
        self.now = FakeClock(1_790_000_000.0)

    def make(self, retention_bytes: int = 10_000) -> MemoryJournalStore:
        return MemoryJournalStore(self.now, _UNIT, retention_bytes)

    def wait(self, units: float) -> None:
        self.now.now += units * _UNIT

    def until(self, condition: Callable[[], bool]) -> None:
        assert condition()


@pytest.fixture
def harness() -> _Harness:
    return _Harness()


def test_expired_runs_release_their_memory(harness: _Harness):
    """Including tombstones, once the run ids imply that their runs are gone."""
    store = harness.make(retention_bytes=1_000)

    def memory_after_runs(count: int) -> int:
        for _ in range(count):
            write(harness, create(harness, store), Answered("Hi."))
            harness.wait(0.1)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = memory_after_runs(200)
        assert memory_after_runs(2_000) - before < 50_000, "2,000 tombstones would take five times as much"
    finally:
        tracemalloc.stop()

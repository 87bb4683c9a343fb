"""Journals in memory keep the contract; time is set by hand."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from persona_stream.core.facts import Answered
from persona_stream.journals.memory import MemoryJournalStore
from tests.fakes import FakeClock
from tests.journals.contract import *  # noqa: F403 - the tests of the contract
from tests.journals.contract import begin, write

_UNIT = 60.0


class _World:
    def __init__(self) -> None:
        self.now = FakeClock(1_790_000_000.0)

    def make(self, retention_bytes: int = 10_000) -> MemoryJournalStore:
        return MemoryJournalStore(self.now, _UNIT, retention_bytes)

    def wait(self, units: float) -> None:
        self.now.now += units * _UNIT

    def until(self, condition: Callable[[], bool]) -> None:
        assert condition()


@pytest.fixture
def world() -> _World:
    return _World()


def test_what_has_passed_leaves_nothing_behind(world: _World):
    """Not even a name, once that says by itself that its run is gone; also of runs that were trimmed early."""
    journals = world.make(retention_bytes=1_000)

    def live_through(count: int) -> int:
        for _ in range(count):
            write(world, begin(world, journals), Answered("Hi."))
            world.wait(0.1)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = live_through(200)
        assert live_through(2_000) - before < 50_000, "two thousand names would take five times as much"
    finally:
        tracemalloc.stop()

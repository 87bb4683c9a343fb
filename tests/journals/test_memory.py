"""Journals in memory keep the contract; time is set by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from persona_stream.journals.memory import MemoryJournals
from tests.fakes import FakeClock
from tests.journals.contract import *  # noqa: F403 - the tests of the contract

_UNIT = 60.0


class _World:
    def __init__(self) -> None:
        self.now = FakeClock(1_790_000_000.0)

    def make(self, retention_bytes: int = 10_000) -> MemoryJournals:
        return MemoryJournals(self.now, _UNIT, retention_bytes)

    def wait(self, units: float) -> None:
        self.now.now += units * _UNIT

    def until(self, condition: Callable[[], bool]) -> None:
        assert condition()


@pytest.fixture
def world() -> _World:
    return _World()

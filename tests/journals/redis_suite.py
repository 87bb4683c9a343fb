"""Journals in Redis keep the contract, and more: run in a process that gevent has patched."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gevent
import pytest

from persona_stream.clock import wall_clock
from persona_stream.journals.redis import RedisJournals
from tests.journals.contract import *  # noqa: F403 - the tests of the contract
from tests.redis_server import RedisServer

_UNIT = 1.5


class World:
    """Have a Redis, and processes that share it."""

    def __init__(self, server: RedisServer) -> None:
        self.server, self.now = server, wall_clock()
        self._made: list[RedisJournals] = []

    def make(self, retention_bytes: int = 10_000, lease: float = 3.0) -> RedisJournals:
        self._made.append(
            RedisJournals(self.server.url, self.now, lease=lease, retention=_UNIT, retention_bytes=retention_bytes)
        )
        return self._made[-1]

    def wait(self, units: float) -> None:
        gevent.sleep(units * _UNIT)

    def until(self, condition: Callable[[], bool], seconds: float = 5.0) -> None:
        with gevent.Timeout(seconds):
            while not condition():
                gevent.sleep(0.005)

    def close(self) -> None:
        for journals in self._made:
            journals.close()


@pytest.fixture(scope="session")
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def world(server: RedisServer) -> Iterator[World]:
    server.client().flushall()
    world = World(server)
    yield world
    world.close()

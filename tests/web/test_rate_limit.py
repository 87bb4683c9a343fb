"""How often somebody may ask, counted here or over all that share a Redis."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from persona_stream.web.rate_limit import MovingWindowLimiter, NullRateLimiter, RateLimiter
from tests.redis_server import RedisServer, needs_redis


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """Run a Redis for these tests."""
    server = RedisServer()
    yield server
    server.close()


def taken(rates: RateLimiter, *key: str) -> tuple[int, bool]:
    """Ask once more; give what is left, and whether that was too often."""
    allowance = rates.hit(*key)
    assert allowance is not None
    assert (allowance.limit, allowance.window) == (2, 3600)
    assert 1 <= allowance.reset <= 3600
    return allowance.remaining, allowance.is_exceeded


def test_without_a_rate_nothing_is_counted() -> None:
    """Whoever asks."""
    assert NullRateLimiter().hit("caller", "alice") is None


def test_each_is_counted_alone() -> None:
    """And what is over does not count."""
    rates = MovingWindowLimiter("2/hour", None)
    assert [taken(rates, "caller", "/api/chat", "alice") for _ in range(4)] == [
        (1, False), (0, False), (0, True), (0, True),
    ]  # fmt: skip
    assert taken(rates, "caller", "/api/chat", "bob") == (1, False)
    assert taken(rates, "caller", "/v1/messages", "alice") == (1, False)
    assert taken(rates, "address", "alice") == (1, False)


def test_the_window_moves() -> None:
    """Whoever waits may ask again."""
    rates = MovingWindowLimiter("1/second", None)
    first, second = rates.hit("a"), rates.hit("a")
    assert first is not None
    assert second is not None
    assert (first.is_exceeded, second.is_exceeded, second.reset) == (False, True, 1)
    time.sleep(1.1)  # the library of the limits has a clock of its own
    third = rates.hit("a")
    assert third is not None
    assert not third.is_exceeded


@needs_redis
def test_those_who_share_a_redis_count_together(redis: RedisServer) -> None:
    """Two processes are as one."""
    here, there = MovingWindowLimiter("2/hour", redis.url), MovingWindowLimiter("2/hour", redis.url)
    assert taken(here, "x") == (1, False)
    assert taken(there, "x") == (0, False)
    assert taken(here, "x") == (0, True)


@needs_redis
def test_while_redis_is_away_each_process_counts_alone(caplog: pytest.LogCaptureFixture) -> None:
    """The log says so once, and nobody waits for long."""
    server = RedisServer()
    rates = MovingWindowLimiter("2/hour", server.url)
    taken(rates, "x")
    server.close()
    began = time.monotonic()
    with caplog.at_level(logging.WARNING, "persona_stream.web"):
        assert [taken(rates, "x") for _ in range(3)] == [(1, False), (0, False), (0, True)]
    assert time.monotonic() - began < 5
    assert caplog.text.count("Redis is unavailable") == 1

"""Tests of rate limits, counted in this process or in Redis."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from persona_stream.web.rate_limit import MovingWindowLimiter, RateLimiter
from tests.redis_server import RedisServer, needs_redis


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """Redis server of these tests."""
    server = RedisServer()
    yield server
    server.close()


def hit(rates: RateLimiter, *key: str) -> tuple[int, bool]:
    """Count a request; return the remaining requests and whether it exceeded the limit."""
    allowance = rates.hit("", *key)
    assert allowance is not None
    assert (allowance.limit, allowance.window) == (2, 3600)
    assert 1 <= allowance.reset <= 3600
    return allowance.remaining, allowance.is_exceeded


def test_the_null_limiter_counts_nothing() -> None:
    """For any key."""
    assert RateLimiter().hit("/api/chat", "caller", "alice") is None


def test_each_key_is_counted_separately() -> None:
    """Requests over the limit do not count."""
    rates = MovingWindowLimiter("2/hour", {}, None)
    assert [hit(rates, "caller", "/api/chat", "alice") for _ in range(4)] == [
        (1, False), (0, False), (0, True), (0, True),
    ]  # fmt: skip
    assert hit(rates, "caller", "/api/chat", "bob") == (1, False)
    assert hit(rates, "caller", "/v1/messages", "alice") == (1, False)
    assert hit(rates, "address", "alice") == (1, False)


def test_a_clock_that_is_set_back_rejects_no_request() -> None:
    """As after a correction of the time (Uninett/nav #404, redis/redis #416); the reset stays within the window."""
    times = [time.time()]
    rates = MovingWindowLimiter("2/hour", {}, None, lambda: times[-1])
    assert [hit(rates, "a") for _ in range(3)] == [(1, False), (0, False), (0, True)]
    times.append(times[-1] - 0.5)
    assert hit(rates, "a") == (0, True)
    times.append(times[-1] - 86_400)
    assert [hit(rates, "a") for _ in range(3)] == [(1, False), (0, False), (0, True)]


def test_the_window_moves() -> None:
    """Old requests expire one by one."""
    rates = MovingWindowLimiter("1/second", {}, None)
    first, second = rates.hit("", "a"), rates.hit("", "a")
    assert first is not None
    assert second is not None
    assert (first.is_exceeded, second.is_exceeded, second.reset) == (False, True, 1)
    time.sleep(1.1)  # the library of the limits has a clock of its own
    third = rates.hit("", "a")
    assert third is not None
    assert not third.is_exceeded


@needs_redis
def test_processes_that_share_a_redis_share_the_limit(redis: RedisServer) -> None:
    """Two limiters act as one."""
    here, there = MovingWindowLimiter("2/hour", {}, redis.url), MovingWindowLimiter("2/hour", {}, redis.url)
    assert hit(here, "x") == (1, False)
    assert hit(there, "x") == (0, False)
    assert hit(here, "x") == (0, True)


@needs_redis
def test_while_redis_is_unavailable_each_process_counts_for_itself(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once, and no request waits long."""
    server = RedisServer()
    rates = MovingWindowLimiter("2/hour", {}, server.url)
    hit(rates, "x")
    server.close()
    began = time.monotonic()
    with caplog.at_level(logging.WARNING, "persona_stream.web"):
        assert [hit(rates, "x") for _ in range(3)] == [(1, False), (0, False), (0, True)]
    assert time.monotonic() - began < 5
    assert caplog.text.count("Redis is unavailable") == 1


def test_a_path_can_have_a_rate_of_its_own() -> None:
    """Or none, while all others have the server's."""
    rates = MovingWindowLimiter("2/hour", {"/slow": "1/day", "/free": "off"}, None)
    limits = {}
    for path in ("/slow", "/free", "/other"):
        status = rates.hit(path, "caller", path, "ann")
        limits[path] = status and (status.limit, status.window)
    assert limits == {"/slow": (1, 86_400), "/free": None, "/other": (2, 3600)}
    assert MovingWindowLimiter(None, {"/slow": "1/day"}, None).hit("/other", "ann") is None

"""How often somebody may ask: a number of times in a moving window of time.

Source of the window and of where it is kept: the package ``limits``.
"""

from __future__ import annotations

import logging
import math
from typing import Any, Protocol

from msgspec import Struct

from persona_stream.core.clock import Clock, system_clock
from persona_stream.errors import ConfigurationError

logger = logging.getLogger("persona_stream.web")

_CONNECTIONS = 4
_PATIENCE = 1.0  # seconds


class RateLimitStatus(Struct, frozen=True):
    """Say what is left to somebody.

    Attributes:
        limit: how often they may ask within the window.
        window: its length in seconds.
        left: how often they still may.
        reset: seconds until they may ask more often again.
        is_over: whether this time was one too many.
    """

    limit: int
    window: int
    left: int
    reset: int
    is_over: bool


class RateLimiter(Protocol):
    """Count how often somebody asks."""

    def hit(self, *key: str) -> RateLimitStatus | None:
        """Count once more, and say what is left; ``None`` where nothing is bounded. May wait for a store."""
        ...


class NullRateLimiter:
    """Let everybody ask as often as they like."""

    def hit(self, *key: str) -> RateLimitStatus | None:
        return None


class MovingWindowLimiter:
    """Bound how often everybody may ask, by one rate."""

    def __init__(self, rate: str, redis_url: str | None, clock: Clock | None = None) -> None:
        """Count in this process, or where there is a Redis, over all that share it.

        Args:
            rate: like ``60/minute``.
            redis_url: the Redis.
            clock: tells the moment that is counted by, which is the machine's own.

        Raises:
            ConfigurationError: the package ``limits`` is not installed.
        """
        try:
            from limits import parse
            from limits.errors import StorageError
            from limits.storage import MemoryStorage
            from limits.strategies import MovingWindowRateLimiter
        except ImportError:
            raise ConfigurationError(
                'rate_limit needs the package limits: pip install "persona_stream[limits]"'
            ) from None
        self._rate, self._clock, self._troubles = parse(rate), clock or system_clock(), StorageError
        self._here: Any = MovingWindowRateLimiter(MemoryStorage())
        self._shared: Any = self._here if redis_url is None else MovingWindowRateLimiter(_redis(redis_url))
        self._is_away = False

    def hit(self, *key: str) -> RateLimitStatus | None:
        if self._shared is not self._here:
            try:
                found = self._hit(self._shared, key)
            except self._troubles as error:
                self._away(error)
            else:
                self._is_away = False
                return found
        return self._hit(self._here, key)

    def _hit(self, limiter: Any, key: tuple[str, ...]) -> RateLimitStatus:
        is_over = not limiter.hit(self._rate, *key)
        stats = limiter.get_window_stats(self._rate, *key)
        reset = max(1, math.ceil(stats.reset_time - self._clock()))
        return RateLimitStatus(self._rate.amount, self._rate.get_expiry(), stats.remaining, reset, is_over)

    def _away(self, error: Exception) -> None:
        if not self._is_away:
            logger.warning("Redis is out of reach, so rates are counted in this process alone: %s", error)
        self._is_away = True


def _redis(url: str) -> Any:
    from limits.storage import RedisStorage
    from redis import BlockingConnectionPool

    # A plain pool raises when it is empty, and a plain client tries for a minute.
    pool: Any = BlockingConnectionPool.from_url(
        url, max_connections=_CONNECTIONS, timeout=_PATIENCE, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE
    )
    return RedisStorage(url, connection_pool=pool, wrap_exceptions=True, key_prefix="persona-stream-rates")

"""Rate limits: a number of requests in a moving window of time, counted by the package ``limits``."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from persona_stream.core.clock import Clock, system_clock
from persona_stream.errors import ConfigurationError
from persona_stream.extras import install_command

logger = logging.getLogger("persona_stream.web")

_MAX_BACKWARD_STEP = 1.0  # second: smaller ones are corrections of NTP
_MAX_CONNECTIONS = 4
_REDIS_TIMEOUT = 1.0  # seconds


class RateLimitStatus(Struct, frozen=True):
    """State of one caller's window after a request."""

    limit: int  # requests allowed in the window
    window: int  # length of the window in seconds
    remaining: int  # requests left
    reset: int  # seconds until more requests are allowed
    is_exceeded: bool  # whether this request exceeded the limit


class RateLimiter:
    """Counter of requests by key; this base class limits nothing."""

    def hit(self, path: str, *key: str) -> RateLimitStatus | None:
        """Count a request to a path; return ``None`` if nothing is limited. May block on a store."""
        return None


class MovingWindowLimiter(RateLimiter):
    """Rate limiter with a rate, such as ``60/minute``, for every key, and other rates, or ``off``, for some paths.

    It counts in Redis if there is one, so that all processes share the limit, and in this process while Redis is
    unavailable. The clock, of the machine, is for the time until the reset.

    Raises:
        ConfigurationError: The package ``limits`` is not installed.
    """

    def __init__(
        self, rate: str | None, by_path: Mapping[str, str], redis_url: str | None, clock: Clock | None = None
    ) -> None:
        try:
            from limits import errors, parse, storage, strategies
        except ImportError:
            hint = install_command("limits")
            raise ConfigurationError(f"rate_limit needs the package limits: {hint}") from None
        self._rate = parse(rate) if rate else None
        self._by_path = {path: None if rate == "off" else parse(rate) for path, rate in by_path.items()}
        self._clock = clock or system_clock()
        self._storage_error = errors.StorageError
        limiter = strategies.MovingWindowRateLimiter
        self._local: Any = limiter(storage.MemoryStorage())
        self._shared: Any = self._local if redis_url is None else limiter(_redis_storage(storage, redis_url))
        self._is_unavailable = False
        self._latest = -math.inf  # reading of the clock

    def hit(self, path: str, *key: str) -> RateLimitStatus | None:
        """Count a request."""
        rate = self._by_path.get(path, self._rate)
        if rate is None:
            return None
        try:
            status = self._hit(self._shared, rate, key)
        except self._storage_error as error:  # of Redis
            if not self._is_unavailable:
                logger.warning("Redis is unavailable; rate limits are counted in this process only: %s", error)
            self._is_unavailable = True
            return self._hit(self._local, rate, key)
        self._is_unavailable = False
        return status

    def _hit(self, limiter: Any, rate: Any, key: tuple[str, ...]) -> RateLimitStatus:
        now = self._clock()
        if now < self._latest - _MAX_BACKWARD_STEP:
            # The requests before have times in the future, and would count until the clock has caught up. In Redis they
            # expire by its own clock.
            self._local.storage.reset()
        self._latest = now
        is_exceeded = not limiter.hit(rate, *key)
        stats = limiter.get_window_stats(rate, *key)
        reset = min(rate.get_expiry(), max(1, math.ceil(stats.reset_time - now)))
        return RateLimitStatus(rate.amount, rate.get_expiry(), stats.remaining, reset, is_exceeded)


def _redis_storage(storage: Any, url: str) -> Any:
    from redis import BlockingConnectionPool

    # A plain pool raises when it is empty, and a plain client retries for a minute.
    timeouts: Any = dict.fromkeys(("timeout", "socket_timeout", "socket_connect_timeout"), _REDIS_TIMEOUT)
    pool: Any = BlockingConnectionPool.from_url(url, max_connections=_MAX_CONNECTIONS, **timeouts)
    return storage.RedisStorage(url, connection_pool=pool, wrap_exceptions=True, key_prefix="persona-stream-rates")

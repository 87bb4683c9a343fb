"""Retry policy, retry budget and circuit breaker for the requests to one provider.

- Retry policy (``retry_delay``): bounds the attempts of one query, with exponential backoff and jitter.
- Retry budget: bounds the retries of all queries together, so that an overloaded provider gets at most about a fifth
  more requests.
- Circuit breaker: fails fast while the provider is down.
"""

import logging

from persona_stream.backends.providers.errors import ProviderError
from persona_stream.core.clock import Clock

logger = logging.getLogger("persona_stream.backends")

MAX_ATTEMPTS = 3


def retry_delay(
    attempts: int,
    error: ProviderError,
    time_left: float,
    jitter: float,
    max_attempts: int = MAX_ATTEMPTS,
    max_wait: float = 60.0,
) -> float | None:
    """Return the backoff in seconds before the next attempt, or ``None`` to give up.

    Args:
        attempts: number of attempts so far.
        error: the error of the last attempt.
        time_left: seconds until the deadline.
        jitter: random number from 0.0 to 1.0, which spreads queries that failed together.
        max_attempts: maximum number of attempts.
        max_wait: how long a provider may require to wait, in seconds.
    """
    if not error.retryable or attempts >= max_attempts:
        return None
    required = error.retry_after
    if required is not None and required > max_wait:
        return None
    delay = 2.0 ** (attempts - 1) * (0.5 + jitter) if required is None else required + 0.5 * jitter
    return delay if delay < time_left else None


MAX_SAVED_RETRIES = 10.0
RETRIES_PER_QUERY = 0.2


class RetryBudget:
    """Token bucket of retries: each query adds a fifth of a retry, and a quiet time leaves a reserve for bursts."""

    def __init__(self) -> None:
        self._tokens = MAX_SAVED_RETRIES

    def deposit(self) -> None:
        """Add the share of one query."""
        self._tokens = min(MAX_SAVED_RETRIES, self._tokens + RETRIES_PER_QUERY)

    def withdraw(self) -> bool:
        """Take one retry; return whether there was one."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


FAILURE_THRESHOLD = 5
MIN_OPEN_TIME = 5.0  # seconds
MAX_OPEN_TIME = 60.0  # seconds


class CircuitBreaker:
    """Circuit breaker of one provider.

    After a number of consecutive failures the circuit opens: requests fail at once. When the open time has passed, one
    query may probe the provider, and while its outcome is pending, another one after each further open time, because
    an answer may take minutes. A response closes the circuit; another failure doubles the open time.

    It may be shared between threads: at worst two of them probe at once.

    Args:
        name: name of the provider in the log.
        clock: returns the time in seconds.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._failures = 0
        self._open_time = MIN_OPEN_TIME
        self._open_until = 0.0

    @property
    def _is_open(self) -> bool:
        return self._failures >= FAILURE_THRESHOLD

    @property
    def open_for(self) -> float:
        """Seconds until the circuit allows a request; 0.0 if it allows one now."""
        return max(0.0, self._open_until - self._clock()) if self._is_open else 0.0

    def acquire(self) -> float:
        """Request permission for an attempt; return 0.0 if granted, otherwise ``open_for``."""
        wait = self.open_for
        if not wait and self._is_open:
            self._open_until = self._clock() + self._open_time  # other queries wait for the outcome of this probe
        return wait

    def record_success(self) -> None:
        """Close the circuit after any response that shows the provider to be up, also an error of the request."""
        if self._is_open:
            logger.warning("%s responds again: circuit breaker closed", self._name)
        self._failures = 0
        self._open_time = MIN_OPEN_TIME

    def record_failure(self) -> None:
        """Count a failure: the provider could not be reached, timed out, or reported an internal error."""
        self._failures += 1
        if not self._is_open:
            return
        if self._failures > FAILURE_THRESHOLD:
            self._open_time = min(2 * self._open_time, MAX_OPEN_TIME)
        self._open_until = self._clock() + self._open_time
        logger.error(
            "%s failed %d times in a row: circuit breaker open for %.0f s", self._name, self._failures, self._open_time
        )

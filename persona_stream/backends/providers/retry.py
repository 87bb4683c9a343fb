"""Whether to try again, and after how long.

Ration what is tried again, so that a provider in need gets a little more work from us, and not three times as much.

The tries of one query are counted elsewhere; this counts those of all of them.

Leave a provider alone that is dead: whoever asks it meanwhile is told so at once, and it is not hammered.

After some failures in a row it is asked nothing for a pause. Then one query may try, and while its outcome is open,
another one after each further pause: of a provider that takes minutes for an answer, nobody can wait for the first
to come back. One sign of life ends it all; each failure more doubles the pause.
"""

from __future__ import annotations

import logging

from persona_stream.backends.providers.errors import ProviderError
from persona_stream.core.clock import Clock

MAX_ATTEMPTS = 3

# A provider that asks for more is not worth a reader's wait, and asking it sooner would be rude: give up at once.
_LONGEST = 60.0


def retry_delay(
    tries: int, trouble: ProviderError, left: float, jitter: float, most: int = MAX_ATTEMPTS
) -> float | None:
    """Say how many seconds to wait after so many tries, or ``None`` to give up.

    Args:
        tries: how many there have been.
        trouble: how the last one ended.
        left: seconds until the deadline.
        jitter: a number from 0.0 to 1.0, so that many queries that failed together do not come back together.
        most: how many tries there may be.
    """
    if not trouble.retryable or tries >= most:
        return None
    asked = trouble.retry_after
    pause = 2.0 ** (tries - 1) * (0.5 + jitter) if asked is None else asked + 0.5 * jitter
    return pause if pause < left and (asked is None or asked <= _LONGEST) else None


_SAVED = 10.0  # tries that may come at once, after a time without any
_SHARE = 0.2  # of a try, that each query adds


class RetryBudget:
    """Know whether something may be tried again: now and then always, and for long for one query in five."""

    def __init__(self) -> None:
        self._left = _SAVED

    def deposit(self) -> None:
        """Hear of a query."""
        self._left = min(_SAVED, self._left + _SHARE)

    def withdraw(self) -> bool:
        """Take a try, if there is one."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


_MOST = 5  # failures in a row that may be chance
_PAUSE, _BREAKER_LONGEST = 5.0, 60.0  # seconds


class CircuitBreaker:
    """Know whether one provider may be asked.

    Threads may share it: at worst two of them try where one was meant to.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        """Begin without doubts.

        Args:
            name: what the log calls the provider.
            clock: tells the moment.
        """
        self._name, self._clock = name, clock
        self._failures = 0
        self._pause, self._until = _PAUSE, 0.0

    @property
    def open_for(self) -> float:
        """For how many seconds from now it is left alone; 0.0 where it may be asked."""
        return max(0.0, self._until - self._clock()) if self._failures >= _MOST else 0.0

    def acquire(self) -> float:
        """Ask for leave to ask it: give 0.0, or the ``rest``."""
        rest = self.open_for
        if not rest and self._failures >= _MOST:
            self._until = self._clock() + self._pause  # this one tries, and the others wait for what comes of it
        return rest

    def record_success(self) -> None:
        """Hear that it gave a sign of life, if only a refusal."""
        if self._failures >= _MOST:
            logging.getLogger("persona_stream.backends").warning("%s answers again", self._name)
        self._failures, self._pause = 0, _PAUSE

    def record_failure(self) -> None:
        """Hear that it could not be reached, said nothing in time, or said that it is broken."""
        self._failures += 1
        if self._failures < _MOST:
            return
        if self._failures > _MOST:
            self._pause = min(2 * self._pause, _BREAKER_LONGEST)
        self._until = self._clock() + self._pause
        logging.getLogger("persona_stream.backends").error(
            "%s failed %d times in a row: it is asked nothing for %.0f s", self._name, self._failures, self._pause
        )

"""Clocks; the only module that reads the time. All other code receives a ``Clock`` as an argument."""

import time
from collections.abc import Callable
from functools import cache

Clock = Callable[[], float]
"""Returns the current time in seconds since 1970."""


@cache
def monotonic_wall_clock() -> Clock:
    """Return the clock of this process, which returns seconds since 1970 and never runs backwards.

    It reads the wall clock once and the monotonic clock from then on, so the difference of two readings is a true
    duration, even when the system time is changed in between.
    """
    monotonic = time.monotonic
    offset = time.time() - monotonic()
    return lambda: offset + monotonic()


def system_clock() -> Clock:
    """Create a clock that returns the system time, jumps included; the dates in tokens refer to it."""
    return time.time

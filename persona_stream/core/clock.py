"""Clocks; the only module that reads the time. All other code receives a ``Clock`` as an argument."""

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Returns the current time in seconds since 1970."""


def monotonic_wall_clock() -> Clock:
    """Create a clock that returns seconds since 1970 and never runs backwards.

    It reads the wall clock once and the monotonic clock from then on, so the difference of two readings is a true
    duration, even when the system time is changed in between.
    """
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


def system_clock() -> Clock:
    """Create a clock that returns the system time, jumps included; the dates in tokens refer to it."""
    return time.time

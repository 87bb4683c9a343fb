"""The only file that asks what time it is; everybody else is handed a clock."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Tells the moment, in seconds since 1970."""


def monotonic_wall_clock() -> Clock:
    """Give a clock that tells seconds since 1970 and never runs backwards.

    It reads the wall once and the monotonic clock from then on, so the difference of two of its readings is
    a true duration, also when somebody sets the machine's clock meanwhile.
    """
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


def system_clock() -> Clock:
    """Give a clock that tells the machine's own time, jumps and all: what dates in tokens are meant in."""
    return time.time

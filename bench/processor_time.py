"""Processor time of short pieces of work."""

from __future__ import annotations

import time
from collections.abc import Callable

REPEATS = 15
MIN_REPEAT_TIME = 0.02
"""Minimum seconds of a repetition, so that the resolution of the clock does not matter."""


def microseconds(work: Callable[[], object]) -> float:
    """Return the processor time of the fastest of several repetitions, which is the least disturbed one."""
    times = 1
    spent = 0.0
    while spent < MIN_REPEAT_TIME:
        times *= 2
        spent = _seconds(work, times)
    return min(_seconds(work, times) for _ in range(REPEATS)) / times * 1e6


def _seconds(work: Callable[[], object], times: int) -> float:
    begun = time.process_time()
    for _ in range(times):
        work()
    return time.process_time() - begun

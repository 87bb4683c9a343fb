"""Result of a soak test, its evaluation and its report; pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import linear_regression
from typing import Final, NamedTuple

from tests.faults.process_stats import ProcessStats, grown
from tests.faults.run_ledger import Counts, differences

_MAX_MEMORY_GROWTH: Final = 16 * 2**20  # bytes, for the allocator; a leak per run shows earlier in the objects
_MAX_MEMORY_SLOPE: Final = 0.1 * 2**20  # bytes a minute
_MIN_SAMPLES: Final = 20  # of the second half: with fewer the momentary load hides the trend


class MemorySample(NamedTuple):
    """Memory that the server had allocated at a moment of the test.

    Attributes:
        seconds: the seconds since the warm-up.
    """

    seconds: float
    allocated_bytes: int


class SoakResult(NamedTuple):
    """Result of a soak test.

    Attributes:
        before: the resources of the server after the warm-up.
        after: the resources at the end.
        samples: the allocated memory under load, once a minute.
        ours: the counts of the clients.
        lag: the mean event loop lag in seconds.
    """

    before: ProcessStats
    after: ProcessStats
    samples: Sequence[MemorySample]
    ours: Counts
    counts_from_metrics: Counts
    counts_from_log: Counts
    lag: float
    errors: Sequence[str]


def memory_slope(samples: Sequence[MemorySample]) -> float | None:
    """Return the trend of the second half of the samples in bytes a minute; ``None`` if they are too few for one."""
    half = samples[len(samples) // 2 :]
    if len(half) < _MIN_SAMPLES:
        return None
    return linear_regression([each.seconds / 60 for each in half], [each.allocated_bytes for each in half]).slope


def find_errors(found: SoakResult) -> list[str]:
    """Return the errors of a soak test."""
    slope = memory_slope(found.samples)
    trend = [] if slope is None or slope <= _MAX_MEMORY_SLOPE else [f"memory grows by {slope / 2**20:.2f} MiB a minute"]
    return [
        *found.errors,
        *trend,
        *grown(found.before, found.after, _MAX_MEMORY_GROWTH),
        *differences("metrics", found.ours, found.counts_from_metrics),
        *differences("log", found.ours, found.counts_from_log),
    ]


def table(found: SoakResult) -> Iterator[str]:
    """Yield the lines of the report."""
    yield f"{'':28}{'clients':>12}{'metrics':>12}{'log':>12}"
    sides = (found.ours, found.counts_from_metrics, found.counts_from_log)
    yield f"{'runs started':28}" + "".join(f"{side.began:>12,}" for side in sides)
    for ending in sorted({ending for side in sides for ending in side.ended}):
        name = ending.status if ending.code in ("none", ending.status) else ending.code
        yield f"{'  ' + name:28}" + "".join(f"{side.ended.get(ending, 0):>12,}" for side in sides)
    yield f"{'rejected':28}" + "".join(f"{side.refused:>12,}" for side in sides[:2])
    yield f"\n{'':28}{'before':>12}{'after':>12}"
    for name in ProcessStats._fields:
        was, now = getattr(found.before, name), getattr(found.after, name)
        yield f"{name.replace('_', ' '):28}{was:>12,}{now:>12,}"
    if (slope := memory_slope(found.samples)) is not None:
        middle = len(found.samples) // 2
        yield "\nallocated memory, MiB: " + " ".join(f"{each.allocated_bytes / 2**20:.1f}" for each in found.samples)
        yield f"trend of the last {len(found.samples) - middle} minutes: {slope / 2**20:+.3f} MiB a minute"
    yield f"\nmean event loop lag: {1000 * found.lag:.1f} ms"

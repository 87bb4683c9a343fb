"""Result of a soak test, its evaluation and its report; pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from tests.faults.process_stats import ProcessStats, grown
from tests.faults.run_ledger import Counts, differences

_MAX_MEMORY_GROWTH: Final = 16 * 2**20  # bytes, for the allocator; a leak per run shows earlier in the objects


class SoakResult(NamedTuple):
    """Result of a soak test.

    Attributes:
        before: the resources of the server after the warm-up.
        after: the resources at the end.
        ours: the counts of the clients.
        lag: the mean event loop lag in seconds.
    """

    before: ProcessStats
    after: ProcessStats
    ours: Counts
    counts_from_metrics: Counts
    counts_from_log: Counts
    lag: float
    errors: Sequence[str]


def find_errors(found: SoakResult) -> list[str]:
    """Return the errors of a soak test."""
    return [
        *found.errors,
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
    yield f"\nmean event loop lag: {1000 * found.lag:.1f} ms"

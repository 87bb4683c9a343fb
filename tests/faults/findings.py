"""What a soak has found, what of it is wrong, and how it is shown. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from tests.faults import process_stats as vitals
from tests.faults.process_stats import Vitals
from tests.faults.run_ledger import Counts, differences

_MEMORY: Final = 16 * 2**20  # bytes, for the allocator; what is lost with each run shows sooner among the objects


class Found(NamedTuple):
    """Hold what a soak found: what the server held after the warm-up and in the end, and what all sides counted."""

    before: Vitals
    after: Vitals
    ours: Counts
    metered: Counts
    logged: Counts
    lag: float
    wrong: Sequence[str]


def judge(found: Found) -> list[str]:
    """Say what is wrong."""
    return [
        *found.wrong,
        *vitals.grown(found.before, found.after, _MEMORY),
        *differences("metrics", found.ours, found.metered),
        *differences("log", found.ours, found.logged),
    ]


def table(found: Found) -> Iterator[str]:
    """Show what was counted."""
    yield f"{'':28}{'clients':>12}{'metrics':>12}{'log':>12}"
    sides = (found.ours, found.metered, found.logged)
    yield f"{'runs that began':28}" + "".join(f"{side.began:>12,}" for side in sides)
    for ending in sorted({ending for side in sides for ending in side.ended}):
        name = ending.status if ending.code in ("none", ending.status) else ending.code
        yield f"{'  ' + name:28}" + "".join(f"{side.ended.get(ending, 0):>12,}" for side in sides)
    yield f"{'refused':28}" + "".join(f"{side.refused:>12,}" for side in sides[:2])
    yield f"\n{'':28}{'before':>12}{'after':>12}"
    for name in Vitals._fields:
        was, now = getattr(found.before, name), getattr(found.after, name)
        yield f"{name.replace('_', ' '):28}{was:>12,}{now:>12,}"
    yield f"\nthe hub was late by {1000 * found.lag:.1f} ms, in the mean"

"""Charts over time: a row of slices of equal length, on a grid that stays as time goes on.

What is over does not change, so its slices are remembered for a while: a page that looks again every few seconds has
only the newest one measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sqlalchemy import Connection

from persona_stream.core.clock import Clock
from persona_stream.store.shown import Chart, Point, Stage, Totals
from persona_stream.store.stats import STAGES, Slice, Sums, measure

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0
_WIDTHS = (1.0, 5.0, 15.0, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR,
           _DAY, 7 * _DAY)  # fmt: skip
_MOST = 100  # slices of a chart
_REMEMBERED, _FOR = 2000, 600.0  # seconds: runs are deleted, too


class Charts:
    """Draw charts, and remember what cannot change any more."""

    def __init__(self, clock: Clock, longest: float) -> None:
        """Begin to remember.

        Args:
            longest: how long a run can take, until the last of its answer is delivered, in seconds.
        """
        self._clock, self._longest = clock, longest
        self._known: dict[tuple[float, float], tuple[float, Slice]] = {}

    def draw(self, connection: Connection, since: float, until: float) -> Chart:
        """Give the chart of a time, as fine as fits: from where a slice begins, to where one ends or now."""
        width = width_for(until - since)
        now = self._clock()
        starts = grid(since, min(until, now), width)
        slices = [self._slice(connection, at, min(at + width, now), now) for at in starts]
        points = [
            Point(at, each.sums.requests, each.sums.failed, each.sums.cost, each.in_flight, each.ttft, each.total)
            for at, each in zip(starts, slices, strict=True)
        ]
        return Chart(starts[0], starts[-1] + width, width, points, _totals(sum((each.sums for each in slices), Sums())))

    def _slice(self, connection: Connection, since: float, until: float, now: float) -> Slice:
        key = since, until
        until_when, known = self._known.get(key, (0.0, None))
        if known is not None and now < until_when:
            return known
        measured = measure(connection, since, until, self._longest)
        if until + self._longest < now:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = now + _FOR, measured
        return measured


def width_for(seconds: float) -> float:
    """Give the length of slices, in seconds, of which a chart of this time has enough and not too many."""
    return next((width for width in _WIDTHS if seconds <= width * _MOST), seconds / _MOST)


def grid(since: float, until: float, width: float) -> Sequence[float]:
    """Give the moments where slices begin; there is one at least."""
    first = math.floor(since / width)
    return [number * width for number in range(first, max(first + 1, math.ceil(until / width)))]


def _totals(sums: Sums) -> Totals:
    stages = [
        Stage(name, count, seconds / count if count else None)
        for name, count, seconds in zip(STAGES, sums.counts, sums.seconds, strict=True)
    ]
    delivering = sums.seconds[STAGES.index("delivery")]
    return Totals(
        requests=sums.requests,
        failed=sums.failed,
        cost=sums.cost,
        input_tokens=sums.input_tokens,
        output_tokens=sums.output_tokens,
        characters_per_second=sums.written / delivering if delivering > 0 else None,
        stages=stages,
    )

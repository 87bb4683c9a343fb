"""Runs of a time in numbers: how many, how they ended, how long they took, what they cost, how many at once.

The database adds up and Python ranks. Ranking in SQL would sort every run of a month; handing rows over would hold the
interpreter, for which streams wait, several times as long. So durations come as one text of whole milliseconds.

Charts over time: a row of slices of equal length, on a grid that stays as time goes on.

What is over does not change, so its slices are remembered for a while: a page that looks again every few seconds has
only the newest one measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import add
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, Float, Integer, Text, bindparam, case, cast, func, select

from persona_stream.core.clock import Clock
from persona_stream.core.run_id import min_run_id_at
from persona_stream.db.models import FAILED, Chart, DataPoint, Percentiles, Stage, Totals
from persona_stream.db.tables import runs

STAGES = ("waiting", "processing", "ttft", "delivery", "total")
"""The durations whose means are told, by their names in the table."""

_Numbers = msgspec.json.Decoder(list[int])


class Aggregates(Struct, frozen=True, array_like=True):
    """Hold what adds up. Of each stage there is the number of runs that have it, and their seconds.

    Attributes:
        requests: how many were taken in.
        failed: how many of those ended in an error or at the deadline.
        cost: US dollars, as far as prices are known.
        written: characters that were delivered.
    """

    requests: int = 0
    failed: int = 0
    cost: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    written: int = 0
    counts: tuple[int, ...] = (0,) * len(STAGES)
    seconds: tuple[float, ...] = (0.0,) * len(STAGES)

    def __add__(self, other: Aggregates) -> Aggregates:
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        plain = map(add, mine[:-2], theirs[:-2])
        counts, seconds = (tuple(map(add, mine[at], theirs[at])) for at in (-2, -1))
        return msgspec.convert((*plain, counts, seconds), Aggregates)


class Bucket(Struct, frozen=True):
    """Hold the runs of a stretch of time in numbers.

    Attributes:
        in_flight: how many were under way at once, on the average of the time.
    """

    sums: Aggregates
    in_flight: float
    ttft: Percentiles
    total: Percentiles


def aggregate(connection: Connection, since: float, until: float, longest: float) -> Bucket:
    """Measure the runs that were taken in from one moment, and before another.

    Args:
        longest: how long one can take, in seconds; who was under way for longer is not counted as such.
    """
    first, last = min_run_id_at(since), min_run_id_at(until)
    time = {"since": since, "until": until}
    ttft, total, busy, *row = connection.execute(_SUMS, {"first": first, "last": last, **time}).one()
    # Those that were taken in before, and were still under way.
    early = min_run_id_at(since - longest)
    before = connection.scalar(_BUSY, {"first": early, "last": first, **time})
    count = len(STAGES)
    sums = msgspec.convert((*row[: -2 * count], row[-2 * count : -count], row[-count:]), Aggregates)
    return Bucket(sums, (busy + before) / (until - since), percentiles(_read(ttft)), percentiles(_read(total)))


def percentiles(milliseconds: Sequence[int]) -> Percentiles:
    """Give the percentiles by nearest rank: each is a duration that was measured."""
    if not milliseconds:
        return Percentiles()
    ordered = sorted(milliseconds)
    return Percentiles(*(ordered[-(-len(ordered) * percent // 100) - 1] / 1000 for percent in (50, 95, 99)))


def _sums() -> Any:
    """Give the query for both texts of durations, how busy it was, what is plain in ``Sums``, and all stages."""
    c = runs.c
    return select(
        _text(c.ttft),
        _text(c.total),
        func.coalesce(func.sum(_OVERLAP), 0.0),
        func.count(),
        func.count(case((c.status.in_(FAILED), 1))),
        *(func.coalesce(func.sum(column), 0) for column in (c.cost, c.input_tokens, c.output_tokens)),
        func.coalesce(func.sum(case((c.delivery.is_not(None), c.characters))), 0),
        *(func.count(c[name]) for name in STAGES),
        *(func.coalesce(func.sum(c[name]), 0.0) for name in STAGES),
    ).where(*_IN_TIME)


def _overlap() -> ColumnElement[float]:
    """Give the seconds of a time that a run was under way in it."""
    accepted_at, ended_at = runs.c.accepted_at, runs.c.ended_at
    since, until = bindparam("since", type_=Float(53)), bindparam("until", type_=Float(53))
    began = case((accepted_at < since, since), else_=accepted_at)
    # Without an ending it goes on; or it was lost with its process, and nobody knows when.
    ended = case(
        (ended_at < until, ended_at),
        (ended_at.is_not(None), until),
        (runs.c.status == "processing", until),
        else_=accepted_at,
    )
    return case((ended > began, ended - began), else_=0.0)


def _text(column: ColumnElement[Any]) -> ColumnElement[str]:
    """Write a duration of all runs in one text, in milliseconds."""
    return func.aggregate_strings(cast(cast(column * 1000, Integer), Text), ",")


_IN_TIME = (runs.c.run_id >= bindparam("first"), runs.c.run_id < bindparam("last"))
# Made once: making them takes longer than asking.
_OVERLAP = _overlap()
_SUMS = _sums()
_BUSY = select(func.coalesce(func.sum(_OVERLAP), 0.0)).where(*_IN_TIME)


def _read(text: str | None) -> Sequence[int]:
    return _Numbers.decode(f"[{text or ''}]")


_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0
_WIDTHS = (1.0, 5.0, 15.0, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR,
           _DAY, 7 * _DAY)  # fmt: skip
_MOST = 100  # slices of a chart
_REMEMBERED, _FOR = 2000, 600.0  # seconds: runs are deleted, too


class TimeSeries:
    """Draw charts, and remember what cannot change any more."""

    def __init__(self, clock: Clock, longest: float) -> None:
        """Begin to remember.

        Args:
            longest: how long a run can take, until the last of its answer is delivered, in seconds.
        """
        self._clock, self._longest = clock, longest
        self._known: dict[tuple[float, float], tuple[float, Bucket]] = {}

    def build(self, connection: Connection, since: float, until: float) -> Chart:
        """Give the chart of a time, as fine as fits: from where a slice begins, to where one ends or now."""
        width = bucket_width(until - since)
        now = self._clock()
        starts = bucket_starts(since, min(until, now), width)
        slices = [self._slice(connection, at, min(at + width, now), now) for at in starts]
        points = [
            DataPoint(at, each.sums.requests, each.sums.failed, each.sums.cost, each.in_flight, each.ttft, each.total)
            for at, each in zip(starts, slices, strict=True)
        ]
        return Chart(
            starts[0], starts[-1] + width, width, points, _totals(sum((each.sums for each in slices), Aggregates()))
        )

    def _slice(self, connection: Connection, since: float, until: float, now: float) -> Bucket:
        key = since, until
        until_when, known = self._known.get(key, (0.0, None))
        if known is not None and now < until_when:
            return known
        measured = aggregate(connection, since, until, self._longest)
        if until + self._longest < now:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = now + _FOR, measured
        return measured


def bucket_width(seconds: float) -> float:
    """Give the length of slices, in seconds, of which a chart of this time has enough and not too many."""
    return next((width for width in _WIDTHS if seconds <= width * _MOST), seconds / _MOST)


def bucket_starts(since: float, until: float, width: float) -> Sequence[float]:
    """Give the moments where slices begin; there is one at least."""
    first = math.floor(since / width)
    return [number * width for number in range(first, max(first + 1, math.ceil(until / width)))]


def _totals(sums: Aggregates) -> Totals:
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

"""Statistics of runs over a period: counts, durations, costs and concurrency, in total and as a time series.

The database adds up, and Python ranks: ranking in SQL would sort every run of a month. Durations are fetched as one
text of whole milliseconds, since rows would hold the interpreter lock, which streams wait for, several times as long.
Buckets of a time series lie on a fixed grid, and those that are over are cached for a while.
"""

import math
from collections.abc import Sequence
from operator import add
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Float, Integer, Text, bindparam, case, cast, func, select

from persona_stream.core.clock import Clock
from persona_stream.core.run_id import min_run_id_at
from persona_stream.db.models import FAILED, Chart, DataPoint, Percentiles, StageMean, Totals
from persona_stream.db.tables import runs

STAGES = ("waiting", "processing", "ttft", "delivery", "total")
"""Columns of the durations whose means are computed."""

MAX_BUCKETS = 100  # of a chart
MAX_CACHED_BUCKETS = 2000
CACHE_LIFETIME = 600.0  # seconds; not longer, since runs can be deleted

# Seconds: 1, 5 and 15 s; 1, 5, 15 and 30 min; 1, 3, 6 and 12 h; 1 and 7 d.
_WIDTHS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0, 604_800.0)
_MILLISECONDS = msgspec.json.Decoder(list[int])


class Aggregates(msgspec.Struct, frozen=True, array_like=True):
    """Sums over runs."""

    requests: int = 0  # runs that were accepted
    failed: int = 0  # of them, ended in an error or a timeout
    cost: float = 0.0  # US dollars, as far as prices are known
    input_tokens: int = 0
    output_tokens: int = 0
    written: int = 0  # characters that were delivered
    token_seconds: float = 0.0  # processing time of the runs whose output tokens are known
    counts: tuple[int, ...] = (0,) * len(STAGES)  # for each stage, the runs that have it
    seconds: tuple[float, ...] = (0.0,) * len(STAGES)  # for each stage, its total duration

    def __add__(self, other: "Aggregates") -> "Aggregates":
        *sums, counts, seconds = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        values: list[Any] = [*map(sum, sums), tuple(map(add, *counts)), tuple(map(add, *seconds))]
        return Aggregates(*values)

    @property
    def stages(self) -> list[StageMean]:
        """The mean duration of each stage."""
        return [
            StageMean(name, count, seconds / count if count else None)
            for name, count, seconds in zip(STAGES, self.counts, self.seconds, strict=True)
        ]

    @property
    def characters_per_second(self) -> float | None:
        """The speed of delivery; ``None`` if nothing was delivered."""
        seconds = self.seconds[STAGES.index("delivery")]
        return self.written / seconds if seconds > 0 else None

    @property
    def tokens_per_second(self) -> float | None:
        """The speed at which runs produce output tokens; ``None`` if no tokens are known."""
        return self.output_tokens / self.token_seconds if self.token_seconds > 0 else None


class Bucket(msgspec.Struct, frozen=True):
    """Statistics of the runs in one period."""

    sums: "Aggregates"
    in_flight: float  # runs in progress at once, averaged over the period
    ttft: Percentiles  # time to the first text
    total: Percentiles  # time to the end


def aggregate(connection: Connection, since: float, until: float, longest: float) -> Bucket:
    """Return the statistics of the runs that were accepted in ``since <= t < until``.

    A run can take ``longest`` seconds; runs that were accepted earlier do not count as in progress.
    """
    first_run = min_run_id_at(since)
    period = {"since": since, "until": until}
    row = connection.execute(_AGGREGATES, {"first": first_run, "last": min_run_id_at(until), **period}).one()
    # Runs that were accepted earlier, and were still in progress.
    earlier = {"first": min_run_id_at(since - longest), "last": first_run, **period}
    busy_before = connection.scalar(_BUSY_SECONDS, earlier)
    sums = row[:_SUMS]
    counts = row[_SUMS : _SUMS + len(STAGES)]
    seconds = row[_SUMS + len(STAGES) : _SUMS + 2 * len(STAGES)]
    busy, *durations = row[_SUMS + 2 * len(STAGES) :]
    ttft, total = (percentiles(_MILLISECONDS.decode(f"[{joined or ''}]")) for joined in durations)
    aggregates = Aggregates(*[*sums, tuple(counts), tuple(seconds)])
    return Bucket(aggregates, in_flight=(busy + busy_before) / (until - since), ttft=ttft, total=total)


def percentiles(milliseconds: Sequence[int]) -> Percentiles:
    """Return the percentiles by nearest rank: each is a measured duration."""
    if not milliseconds:
        return Percentiles()
    ordered = sorted(milliseconds)
    return Percentiles(*(ordered[-(-len(ordered) * percent // 100) - 1] / 1000 for percent in (50, 95, 99)))


def _overlap() -> ColumnElement[float]:
    """Return the seconds of the period that a run was in progress."""
    accepted_at = runs.c.accepted_at
    ended_at = runs.c.ended_at
    since = bindparam("since", type_=Float(53))
    until = bindparam("until", type_=Float(53))
    begin = case((accepted_at < since, since), else_=accepted_at)
    # A run without an end is in progress, or was lost with its process at an unknown time.
    end = case(
        (ended_at < until, ended_at),
        (ended_at.is_not(None), until),
        (runs.c.status == "processing", until),
        else_=accepted_at,
    )
    return case((end > begin, end - begin), else_=0.0)


def _joined_milliseconds(column: ColumnElement[Any]) -> ColumnElement[str]:
    return func.aggregate_strings(cast(cast(column * 1000, Integer), Text), ",")


def _total(column: ColumnElement[Any], zero: float = 0) -> ColumnElement[Any]:
    return func.coalesce(func.sum(column), zero)


# Built once: building them takes longer than executing them.
_SUMS = 7  # columns before those of the stages
_IN_PERIOD = (runs.c.run_id >= bindparam("first"), runs.c.run_id < bindparam("last"))
_BUSY_SECONDS = select(_total(_overlap(), 0.0)).where(*_IN_PERIOD)
_AGGREGATES = select(  # in the order of the fields of Aggregates
    func.count(),
    func.count(case((runs.c.status.in_(FAILED), 1))),
    _total(runs.c.cost, 0.0),
    _total(runs.c.input_tokens),
    _total(runs.c.output_tokens),
    _total(case((runs.c.delivery.is_not(None), runs.c.characters))),
    _total(case((runs.c.output_tokens.is_not(None), runs.c.processing)), 0.0),
    *(func.count(runs.c[name]) for name in STAGES),
    *(_total(runs.c[name], 0.0) for name in STAGES),
    _total(_overlap(), 0.0),
    _joined_milliseconds(runs.c.ttft),
    _joined_milliseconds(runs.c.total),
).where(*_IN_PERIOD)


class TimeSeries:
    """Charts over time, with a cache of the buckets that cannot change any more."""

    def __init__(self, clock: Clock, longest: float) -> None:
        """Create a time series of runs that take up to ``longest`` seconds until their answer is delivered."""
        self._clock = clock
        self._longest = longest
        self._cache: dict[tuple[float, float], tuple[float, Bucket]] = {}

    def build(self, connection: Connection, since: float, until: float) -> Chart:
        """Return the chart of a period, in the narrowest buckets of which at most ``MAX_BUCKETS`` fit."""
        width = bucket_width(until - since)
        now = self._clock()
        starts = bucket_starts(since, min(until, now), width)
        buckets = [self._bucket(connection, at, min(at + width, now), now) for at in starts]
        sums = sum((bucket.sums for bucket in buckets), Aggregates())
        totals: Any = {name: getattr(sums, name) for name in Totals.__struct_fields__}
        points = [_data_point(at, bucket) for at, bucket in zip(starts, buckets, strict=True)]
        return Chart(starts[0], starts[-1] + width, seconds=width, points=points, totals=Totals(**totals))

    def _bucket(self, connection: Connection, since: float, until: float, now: float) -> Bucket:
        expires_at, cached = self._cache.get((since, until), (0.0, None))
        if cached is not None and now < expires_at:
            return cached
        bucket = aggregate(connection, since, until, self._longest)
        if until + self._longest < now:
            if len(self._cache) >= MAX_CACHED_BUCKETS:
                self._cache.clear()
            self._cache[since, until] = now + CACHE_LIFETIME, bucket
        return bucket


def _data_point(at: float, bucket: Bucket) -> DataPoint:
    sums: Any = {name: getattr(bucket.sums, name) for name in ("requests", "failed", "cost")}
    return DataPoint(at, in_flight=bucket.in_flight, ttft=bucket.ttft, total=bucket.total, **sums)


def bucket_width(seconds: float) -> float:
    """Return the width of buckets for a period, in seconds: at most ``MAX_BUCKETS`` of them."""
    return next((width for width in _WIDTHS if seconds <= width * MAX_BUCKETS), seconds / MAX_BUCKETS)


def bucket_starts(since: float, until: float, width: float) -> Sequence[float]:
    """Return the moments at which buckets start; at least one."""
    first = math.floor(since / width)
    return [number * width for number in range(first, max(first + 1, math.ceil(until / width)))]

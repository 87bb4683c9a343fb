"""Statistics of runs, in SQLite and in PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from persona_stream.db.models import Percentiles
from persona_stream.db.statistics import STAGES, Bucket, TimeSeries, aggregate, bucket_starts, bucket_width, percentiles
from tests.db.databases import write
from tests.db.factories import Row, seeded

NOW = 1_800_000_000.0
LONGEST = 400.0
ROWS = list(seeded(500, NOW, 6000.0))
SHORT = [short for short, _ in ROWS]


@pytest.fixture(scope="module")
def log(connection: Connection) -> Connection:
    """Create a log of 500 runs in 6,000 seconds."""
    write(connection, ROWS)
    return connection


def between(since: float, until: float) -> list[Row]:
    return [row for row in SHORT if since <= row["accepted_at"] < until]


def busy(since: float, until: float) -> float:
    """Return the seconds that runs were in progress, added up row by row."""
    seconds = 0.0
    for row in SHORT:
        goes_on = row["ended_at"] is None and row["status"] == "processing"
        ended_at = until if goes_on else row["ended_at"]
        if ended_at is not None:
            seconds += max(0.0, min(ended_at, until) - max(row["accepted_at"], since))
    return seconds


def ranked(rows: list[Row], name: str) -> Percentiles:
    return percentiles([round(row[name] * 1000) for row in rows if row[name] is not None])


@pytest.mark.parametrize(("since", "until"), [(NOW - 6000, NOW), (NOW - 3000, NOW - 2500), (NOW - 100, NOW)])
def test_a_bucket_equals_the_sums_of_its_rows(log: Connection, since: float, until: float) -> None:
    """Every number equals the one computed from the rows."""
    rows, found = between(since, until), aggregate(log, since, until, LONGEST)
    sums = found.sums
    assert sums.requests == len(rows)
    assert sums.failed == sum(row["status"] in ("error", "timeout") for row in rows)
    assert sums.cost == pytest.approx(sum(row["cost"] or 0 for row in rows))
    assert sums.input_tokens == sum(row["input_tokens"] or 0 for row in rows)
    assert sums.output_tokens == sum(row["output_tokens"] or 0 for row in rows)
    assert sums.written == sum(row["characters"] for row in rows if row["delivery"] is not None)
    for name, count, seconds in zip(STAGES, sums.counts, sums.seconds, strict=True):
        values = [row[name] for row in rows if row[name] is not None]
        assert (count, seconds) == (len(values), pytest.approx(sum(values)))
    assert found.in_flight == pytest.approx(busy(since, until) / (until - since))
    for name, fractions in (("ttft", found.ttft), ("total", found.total)):
        expected = ranked(rows, name)
        for percent in ("p50", "p95", "p99"):
            assert getattr(fractions, percent) == pytest.approx(getattr(expected, percent), abs=0.0011)


def test_a_period_without_runs(log: Connection) -> None:
    """Sums are zero, and percentiles are None."""
    found = aggregate(log, NOW - 90_000, NOW - 80_000, LONGEST)
    assert found == Bucket(type(found.sums)(), 0.0, Percentiles(), Percentiles())


def test_percentiles_are_by_nearest_rank() -> None:
    """Each is a measured duration."""
    assert percentiles([]) == Percentiles(None, None, None)
    assert percentiles([7]) == Percentiles(0.007, 0.007, 0.007)
    assert percentiles(list(range(100, 0, -1))) == Percentiles(0.050, 0.095, 0.099)
    assert percentiles([1, 2, 3]) == Percentiles(0.002, 0.003, 0.003)


def test_a_chart_adds_up(log: Connection) -> None:
    """Its points lie on the grid, count every run once, and add up to the totals."""
    chart = TimeSeries(lambda: NOW, LONGEST).build(log, NOW - 6000, NOW)
    assert chart.seconds == 60.0
    assert [point.at for point in chart.points] == [chart.since + 60 * n for n in range(len(chart.points))]
    assert sum(point.requests for point in chart.points) == len(SHORT) == chart.totals.requests
    assert chart.totals.cost == pytest.approx(sum(row["cost"] or 0 for row in SHORT))
    waits = [row["waiting"] for row in SHORT if row["waiting"] is not None]
    assert chart.totals.stages[0].mean == pytest.approx(sum(waits) / len(waits))
    assert chart.totals.characters_per_second == pytest.approx(250, rel=0.05)
    known = [row for row in SHORT if row["output_tokens"] is not None]
    expected = sum(row["output_tokens"] for row in known) / sum(row["processing"] for row in known)
    assert chart.totals.tokens_per_second == pytest.approx(expected)


def test_buckets_that_are_over_are_cached() -> None:
    """A second chart queries the newest buckets alone; after the cache's lifetime it queries all."""
    now = [NOW]
    asked: list[float] = []

    class Counting(TimeSeries):
        def draw_from(self) -> int:
            asked.clear()
            self.build(_Empty(asked), now[0] - 6000, now[0])  # type: ignore[arg-type] # a connection that counts
            return len(asked)

    charts = Counting(lambda: now[0], LONGEST)
    whole = charts.draw_from()
    assert charts.draw_from() < whole / 4
    now[0] += 700
    assert charts.draw_from() >= whole - 4


class _Empty:
    """Connection to an empty log that records its queries."""

    def __init__(self, asked: list[float]) -> None:
        self._asked = asked

    def execute(self, _: object, values: dict[str, float]) -> _Empty:
        self._asked.append(values["since"])
        return self

    def one(self) -> tuple[object, ...]:
        sums = (0,) * 8  # seven totals and the busy seconds
        return (*sums, *(0,) * 2 * len(STAGES), None, None)

    def scalar(self, _: object, __: object) -> float:
        return 0.0


def test_bucket_widths_fit_the_period() -> None:
    """From a minute to three years it has more than 16 points, and at most a hundred."""
    for seconds in (60.0, 3600.0, 86_400.0, 7 * 86_400.0, 30 * 86_400.0, 3 * 365 * 86_400.0):
        assert 16 < seconds / bucket_width(seconds) <= 100
    assert bucket_starts(1000.0, 1000.0, 60.0) == [960.0]
    assert bucket_starts(59.0, 121.0, 60.0) == [0.0, 60.0, 120.0]

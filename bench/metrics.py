"""What is shown of a measurement, and the aims that our server has to reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Final, NamedTuple

from bench.measurement import Measurement

AIM_STREAMS: Final = 4000
"""The number of waiting streams that the aims are stated for."""


class Metric(NamedTuple):
    """One row of a table.

    Attributes:
        of: reads it from a measurement; ``None`` where there is no such thing in the scenario.
        more_is_better: decides which peer is the better one; ``None`` means that it is told, not compared.
        aim: the greatest ratio of ours to the better peer's that is good enough, with ``AIM_STREAMS`` waiting.
    """

    name: str
    unit: str
    digits: int
    of: Callable[[Measurement], float | None]
    more_is_better: bool | None = False
    aim: float | None = None

    def show(self, value: float | None) -> str:
        """Write a value with its unit."""
        return "–" if value is None else f"{value:,.{self.digits}f} {self.unit}".strip()


def _waits(read: Callable[[Measurement], float]) -> Callable[[Measurement], float | None]:
    return lambda one: read(one) if one.waiting_bytes is not None else None


def _bursts(read: Callable[[Measurement], float]) -> Callable[[Measurement], float | None]:
    return lambda one: read(one) if one.waiting_bytes is None else None


def _kib(one: Measurement) -> float | None:
    return None if one.stream_bytes is None else one.stream_bytes / 1024


METRICS: Final = (
    Metric("waiting at the same time", "", 0, _waits(lambda one: one.tally.waiting), more_is_better=None),
    Metric("CPU", "s", 2, lambda one: one.cpu),
    Metric("CPU per stream", "ms", 3, lambda one: one.cpu_ms, aim=1.2),
    Metric("memory per waiting stream", "KiB", 1, _kib, aim=1.0),
    Metric("memory before the load", "MiB", 1, lambda one: one.idle_bytes / 2**20),
    Metric("first event p50", "ms", 2, lambda one: 1000 * one.tally.first_event.p50),
    Metric("first event p99", "ms", 2, lambda one: 1000 * one.tally.first_event.p99, aim=1.0),
    Metric("progress jitter p50", "ms", 2, _waits(lambda one: 1000 * one.tally.jitter.p50)),
    Metric("progress jitter p99", "ms", 2, _waits(lambda one: 1000 * one.tally.jitter.p99), aim=1.0),
    Metric("progress events skipped, being late", "", 0, _waits(lambda one: one.tally.skipped), more_is_better=None),
    Metric("delivery of the answer p50", "s", 3, lambda one: one.tally.delivery.p50),
    Metric("delivery of the answer p99", "s", 3, lambda one: one.tally.delivery.p99),
    Metric("whole stream p50", "s", 3, _bursts(lambda one: one.tally.whole.p50)),
    Metric("whole stream p99", "s", 3, _bursts(lambda one: one.tally.whole.p99)),
    Metric("all complete after", "s", 3, _bursts(lambda one: one.tally.wall)),
    Metric("events per second, busiest second", "", 0, lambda one: one.tally.peak, more_is_better=True),
    Metric("events per second, from first to last", "", 0, lambda one: one.tally.sustained, more_is_better=True),
    Metric("events per stream", "", 2, lambda one: one.tally.events_per_stream, more_is_better=None),
    Metric("the client's own CPU", "s", 2, lambda one: one.tally.client_cpu, more_is_better=None),
)


class Comparison(NamedTuple):
    """One metric of every server in one scenario: medians, and ours against the better peer's."""

    metric: Metric
    medians: dict[str, float]
    ratio: float | None


def compare(metric: Metric, measured: dict[str, list[Measurement]]) -> Comparison | None:
    """Take the median of each server's rounds; ``None`` when the scenario has no such metric."""
    medians: dict[str, float] = {}
    for name, measurements in measured.items():
        values = [value for one in measurements if (value := metric.of(one)) is not None]
        if values:
            medians[name] = median(values)
    if not medians:
        return None
    ours = medians.get("ours")
    peers = [value for name, value in medians.items() if name != "ours"]
    if ours is None or not peers or metric.more_is_better is None:
        return Comparison(metric, medians, None)
    better = max(peers) if metric.more_is_better else min(peers)
    return Comparison(metric, medians, ours / better if better else None)


class Verdict(NamedTuple):
    """Say of one aim whether it was reached, in words."""

    reached: bool
    text: str


def verdicts(streams: int, measured: dict[str, list[Measurement]], comparisons: Sequence[Comparison]) -> list[Verdict]:
    """Hold our measurements against the aims."""
    ours = measured.get("ours", [])
    lost = sum(one.tally.lost for one in ours)
    of = sum(one.tally.streams for one in ours)
    waiting = min((one.tally.waiting for one in ours), default=0)
    found = [
        Verdict(bool(ours) and not lost, f"none of {streams:,} streams lost: {lost} of {of:,} in {len(ours)} rounds"),
        Verdict(waiting == streams, f"all {streams:,} wait at the same time: {waiting:,} in the worst round"),
    ]
    for metric, _, ratio in comparisons:
        if metric.aim is None:
            continue
        said = "not measured" if ratio is None else f"{ratio:.3f} ×"
        aim = f"at most {metric.aim:g} × the better peer's"
        found.append(Verdict(ratio is not None and ratio <= metric.aim, f"{metric.name} {aim}: {said}"))
    return found

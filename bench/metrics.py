"""Metrics of a measurement, and the goals for persona_stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Final, NamedTuple

from bench.measurement import Measurement
from bench.workload import Scenario

GOAL_STREAMS: Final = 4000
"""Number of waiting streams to which the goals apply."""
LARGE_STREAMS: Final = 16_000
"""Number of waiting streams from which the goals for large numbers apply."""

WAITING_GOALS: Final = {
    "CPU per stream": 1.3,
    "memory per waiting stream": 0.9,
    "first event p99": 1.2,
    "progress jitter p99": 1.2,
}
"""Maximum ratios to Node's values."""
LARGE_GOALS: Final = {
    "CPU per stream": 1.1,
    "memory per waiting stream": 0.8,
    "first event p99": 1.5,
    "progress jitter p99": 1.5,
}
BURST_GOALS: Final = {"CPU per stream": 1.5}
LATEST_GOAL: Final = 1.5
"""Maximum ratio of the latest first event of a burst to Node's first event p99."""

PYTHON_PEERS: Final = ("fastapi", "sse-starlette")
PEERS: Final = ("node", "go", *PYTHON_PEERS)
HEADLINES: Final = tuple(WAITING_GOALS)
"""Metrics that the summary of the report compares; less is better."""


class Metric(NamedTuple):
    """Row of a table.

    Attributes:
        of: returns the value of a measurement, or ``None`` if the scenario has none.
        more_is_better: decides which peer is the better one; ``None`` for values that are not compared.
        goal: the maximum ratio to the better Python peer's value with ``GOAL_STREAMS`` waiting streams.
    """

    name: str
    unit: str
    digits: int
    of: Callable[[Measurement], float | None]
    more_is_better: bool | None = False
    goal: float | None = None

    def show(self, value: float | None) -> str:
        """Return a value with its unit."""
        return "–" if value is None else f"{value:,.{self.digits}f} {self.unit}".strip()


def _waits(read: Callable[[Measurement], float]) -> Callable[[Measurement], float | None]:
    return lambda one: read(one) if one.waiting_bytes is not None else None


def _bursts(read: Callable[[Measurement], float]) -> Callable[[Measurement], float | None]:
    return lambda one: read(one) if one.waiting_bytes is None else None


def _kib(one: Measurement) -> float | None:
    return None if one.stream_bytes is None else one.stream_bytes / 1024


METRICS: Final = (
    Metric("concurrent waiting streams", "", 0, _waits(lambda one: one.result.waiting), more_is_better=None),
    Metric("CPU", "s", 2, lambda one: one.cpu),
    Metric("CPU per stream", "ms", 3, lambda one: one.cpu_ms, goal=1.2),
    Metric("memory per waiting stream", "KiB", 1, _kib, goal=1.0),
    Metric("memory before the load", "MiB", 1, lambda one: one.idle_bytes / 2**20),
    Metric("first event p50", "ms", 2, lambda one: 1000 * one.result.first_event.p50),
    Metric("first event p99", "ms", 2, lambda one: 1000 * one.result.first_event.p99, goal=1.0),
    Metric("first event, latest", "ms", 2, _bursts(lambda one: 1000 * one.result.first_event.max)),
    Metric("progress jitter p50", "ms", 2, _waits(lambda one: 1000 * one.result.jitter.p50)),
    Metric("progress jitter p99", "ms", 2, _waits(lambda one: 1000 * one.result.jitter.p99), goal=1.0),
    Metric("late progress events skipped", "", 0, _waits(lambda one: one.result.skipped), more_is_better=None),
    Metric("delivery of the answer p50", "s", 3, lambda one: one.result.delivery.p50),
    Metric("delivery of the answer p99", "s", 3, lambda one: one.result.delivery.p99),
    Metric("complete stream p50", "s", 3, _bursts(lambda one: one.result.whole.p50)),
    Metric("complete stream p99", "s", 3, _bursts(lambda one: one.result.whole.p99)),
    Metric("all complete after", "s", 3, _bursts(lambda one: one.result.wall)),
    Metric("events per second, busiest second", "", 0, lambda one: one.result.peak, more_is_better=True),
    Metric("events per second, from first to last", "", 0, lambda one: one.result.sustained, more_is_better=True),
    Metric("events per stream", "", 2, lambda one: one.result.events_per_stream, more_is_better=None),
    Metric("CPU of the client", "s", 2, lambda one: one.result.client_cpu, more_is_better=None),
)


class Comparison(NamedTuple):
    """Medians of one metric for each server, and the ratios of persona_stream to the better Python peer and to Node."""

    metric: Metric
    medians: dict[str, float]
    ratio: float | None
    node_ratio: float | None = None


def compare(metric: Metric, measured: dict[str, list[Measurement]]) -> Comparison | None:
    """Return the comparison of a metric, or ``None`` if the scenario does not have it."""
    medians: dict[str, float] = {}
    for name, measurements in measured.items():
        values = [value for one in measurements if (value := metric.of(one)) is not None]
        if values:
            medians[name] = median(values)
    if not medians:
        return None
    ours = medians.get("ours")
    if ours is None or metric.more_is_better is None:
        return Comparison(metric, medians, None)
    peers = [medians[name] for name in PYTHON_PEERS if name in medians]
    better = (max if metric.more_is_better else min)(peers, default=0.0)
    node = medians.get("node")
    return Comparison(metric, medians, ours / better if better else None, ours / node if node else None)


class Verdict(NamedTuple):
    """Text on one goal, and whether it was reached."""

    reached: bool
    text: str


def goals_of(scenario: Scenario) -> Mapping[str, float]:
    """Return the maximum ratios to Node's values; empty for a scenario without goals."""
    if not scenario.has_plateau:
        return BURST_GOALS
    if scenario.streams >= LARGE_STREAMS:
        return LARGE_GOALS
    return WAITING_GOALS if scenario.streams == GOAL_STREAMS else {}


def verdicts(
    scenario: Scenario, measured: dict[str, list[Measurement]], comparisons: Sequence[Comparison]
) -> list[Verdict]:
    """Return the verdicts on all goals of a scenario; none for one without goals."""
    node_goals = goals_of(scenario)
    if not node_goals:
        return []
    ours = measured.get("ours", [])
    lost = sum(one.result.lost for one in ours)
    of = sum(one.result.streams for one in ours)
    name = scenario.name
    found = [Verdict(bool(ours) and not lost, f"{name}: none lost: {lost} of {of:,} in {rounds_text(len(ours))}")]
    if scenario.has_plateau:
        waiting = min((one.result.waiting for one in ours), default=0)
        found.append(
            Verdict(waiting == scenario.streams, f"{name}: all wait concurrently: {waiting:,} in the worst round")
        )
    for metric, medians, ratio, node_ratio in comparisons:
        if metric.goal is not None and node_goals is WAITING_GOALS:
            found.append(_verdict(f"{name}: {metric.name}", metric.goal, "the better Python peer's", ratio, ""))
        if metric.name in node_goals:
            values = f" ({metric.show(medians.get('ours'))}, Node {metric.show(medians.get('node'))})"
            found.append(_verdict(f"{name}: {metric.name}", node_goals[metric.name], "Node's", node_ratio, values))
    if not scenario.has_plateau:
        found.append(_latest(name, ours, measured.get("node", [])))
    return found


def _latest(name: str, ours: Sequence[Measurement], node: Sequence[Measurement]) -> Verdict:
    """Return the verdict on the latest first event of all rounds."""
    latest = max((1000 * one.result.first_event.max for one in ours), default=0.0)
    limit = 1000 * median(one.result.first_event.p99 for one in node) if node else 0.0
    ratio = latest / limit if ours and limit else None
    values = f" ({latest:,.0f} ms in the worst round, Node {limit:,.0f} ms)"
    return _verdict(f"{name}: latest first event", LATEST_GOAL, "Node's first event p99", ratio, values)


def rounds_text(count: int) -> str:
    """Return the number of rounds in words."""
    return "one round" if count == 1 else f"{count} rounds"


def _verdict(name: str, goal: float, whose: str, ratio: float | None, values: str) -> Verdict:
    measured = "not measured" if ratio is None else f"{ratio:.3f} ×{values}"
    return Verdict(ratio is not None and ratio <= goal, f"{name} at most {goal:g} × {whose}: {measured}")

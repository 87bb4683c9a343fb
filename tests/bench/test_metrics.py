"""Tests of the comparison with other servers: medians, goals and turns."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bench.measurement import Measurement, turns
from bench.metrics import METRICS, Comparison, compare, verdicts
from bench.results import Distribution, LoadResult
from bench.servers import ALL
from bench.workload import burst, waiting

NONE = Distribution(0.0, 0.0, 0.0)
RESULT = LoadResult(
    streams=4000, waiting=4000, lost=0, errors={}, events=0, events_per_stream=34.0, peak=100, sustained=50.0,
    wall=20.0, first_event=Distribution(0.001, 0.002, 0.003), jitter=Distribution(0.001, 0.002, 0.003), skipped=0,
    delivery=NONE, whole=NONE, client_cpu=1.0,
)  # fmt: skip
ONE = Measurement(result=RESULT, cpu=8.0, idle_bytes=0, waiting_bytes=4000 * 1024, foreign_share=0.0)


def _comparisons(measured: dict[str, list[Measurement]]) -> list[Comparison]:
    return [found for metric in METRICS if (found := compare(metric, measured))]


def _with_cpu(*seconds: float) -> list[Measurement]:
    return [msgspec.structs.replace(ONE, cpu=cpu) for cpu in seconds]


def test_medians_are_compared_with_the_better_peer() -> None:
    """The better peer is selected for each metric."""
    measured = {
        "ours": _with_cpu(1, 9, 3),
        "fastapi": _with_cpu(8),
        "sse-starlette": _with_cpu(2),
        "node": _with_cpu(1),
    }
    found = compare(METRICS[1], measured)
    assert found == Comparison(METRICS[1], {"ours": 3, "fastapi": 8, "sse-starlette": 2, "node": 1}, 1.5, 3.0)


def test_the_better_peer_has_more_events_per_second() -> None:
    """For such metrics the maximum of the peers is selected."""
    busiest = next(metric for metric in METRICS if metric.more_is_better)
    fast = msgspec.structs.replace(ONE, result=msgspec.structs.replace(RESULT, peak=400))
    found = compare(busiest, {"ours": [ONE], "fastapi": [ONE], "sse-starlette": [fast]})
    assert found is not None
    assert found.ratio == 0.25


def _reached(measured: dict[str, list[Measurement]]) -> Sequence[bool]:
    return [verdict.reached for verdict in verdicts(waiting(4000), measured, _comparisons(measured))]


def test_goals_are_judged_separately() -> None:
    """A goal is reached at its limit; without a measurement it is not reached."""
    peers = {"fastapi": [ONE], "node": [msgspec.structs.replace(ONE, waiting_bytes=5000 * 1024)]}
    goals = ["lost", "concurrent", "CPU", "CPU, Node", "memory", "memory, Node", *["first event"] * 2, *["jitter"] * 2]
    assert _reached({"ours": [ONE], **peers}) == [True] * len(goals)
    assert _reached({"ours": _with_cpu(9.6), **peers}) == [True] * len(goals)
    assert _reached({"ours": _with_cpu(9.8), **peers}) == [goal != "CPU" for goal in goals]
    assert _reached({"ours": _with_cpu(10.5), **peers}) == [not goal.startswith("CPU") for goal in goals]
    lossy = msgspec.structs.replace(ONE, result=msgspec.structs.replace(RESULT, lost=1))
    assert _reached({"ours": [ONE, lossy], **peers}) == [goal != "lost" for goal in goals]
    late = msgspec.structs.replace(ONE, result=msgspec.structs.replace(RESULT, waiting=3999))
    assert _reached({"ours": [ONE, late], **peers})[:2] == [True, False]
    assert _reached(peers) == [False] * len(goals)


def test_a_burst_is_judged_beside_node() -> None:
    """It has no waiting streams, so that neither their number nor memory counts; few streams have no goals."""
    measured = {"ours": _with_cpu(1.6), "node": _with_cpu(1.0)}
    assert [each.reached for each in verdicts(burst(4000), measured, _comparisons(measured))] == [True, False, True]
    assert verdicts(waiting(1000), measured, _comparisons(measured)) == []


def test_servers_alternate() -> None:
    """The order is reversed in each round."""
    assert list(turns(ALL, 2)) == [*ALL, *reversed(ALL)]

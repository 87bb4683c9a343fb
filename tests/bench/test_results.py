"""Tests of the evaluation of transcripts."""

from __future__ import annotations

from typing import Any

import pytest

from bench.results import Distribution, distribution, evaluate
from bench.transcript import Transcript
from bench.workload import Scenario
from tests.bench.answers import events, transcript

WAITING = Scenario(name="waiting", streams=1, rate=500.0, seconds=4.0)
INSTANT = Scenario(name="instant", streams=1, rate=0.0, seconds=0.0)


def _sent(changed: list[dict[str, Any]] | None = None) -> list[tuple[float, dict[str, Any]]]:
    """Return a punctual stream of 4 s: two progress events, then a chunk every 0.05 s."""
    at = [0.0, 0.01, 2.01, 4.0, *(4.0 + 0.05 * number for number in range(25)), 5.2]
    return list(zip(at, changed or events(ticks=2), strict=True))


def _why(sent: list[tuple[float, dict[str, Any]]], scenario: Scenario = WAITING) -> dict[str, int]:
    return evaluate([transcript(sent)], scenario, None, 0.0).errors


def test_distributions_use_the_nearest_rank() -> None:
    """The distribution of no values is zero."""
    assert distribution(range(1, 101)) == Distribution(50, 99, 100)
    assert distribution([7.0]) == Distribution(7.0, 7.0, 7.0)
    assert distribution([]) == Distribution(0.0, 0.0, 0.0)


def test_a_punctual_stream_is_measured() -> None:
    """Its times are measured from their defined start."""
    found = evaluate([transcript([(10.5 + at, event) for at, event in _sent()], asked=10.0)], WAITING, 12.0, 0.25)
    assert (found.streams, found.waiting, found.lost, found.errors) == (1, 1, 0, {})
    assert (found.events, found.events_per_stream, found.skipped, found.client_cpu) == (30, 30.0, 0, 0.25)
    assert found.first_event == Distribution(0.5, 0.5, 0.5)
    assert found.jitter.max == pytest.approx(0.0)
    assert found.delivery.p50 == pytest.approx(1.2)
    assert found.whole.p50 == pytest.approx(5.7)
    assert found.wall == pytest.approx(5.7)
    assert found.peak == 21


def test_jitter_counts_early_and_late_events() -> None:
    """Deviations are absolute."""
    sent = _sent()
    early = [(at - 0.005 if number == 2 else at, event) for number, (at, event) in enumerate(sent)]
    late = [(at + 0.007 if number == 2 else at, event) for number, (at, event) in enumerate(sent)]
    found = evaluate([transcript(early), transcript(late)], WAITING, None, 0.0)
    assert (found.jitter.p50, found.jitter.max) == (pytest.approx(0.005), pytest.approx(0.007))


def test_skipped_progress_events_are_counted() -> None:
    """The stream is still complete."""
    sent = _sent()
    del sent[2]
    found = evaluate([transcript(sent)], WAITING, None, 0.0)
    assert (found.lost, found.skipped) == (0, 1)


def test_a_stream_waits_between_its_first_and_final_event() -> None:
    """The first event is included, the final one is not."""
    assert [evaluate([transcript(_sent())], WAITING, at, 0.0).waiting for at in (-1.0, 0.0, 5.1, 5.2)] == [0, 1, 1, 0]


def test_invalid_streams_are_lost() -> None:
    """Each with its reason."""
    good = events(ticks=2)
    assert _why(_sent()) == {}
    assert "order" in next(iter(_why(_sent()[:-1])))
    assert "order" in next(iter(_why(_sent()[:8] + _sent()[9:])))
    assert "order" in next(iter(_why([*_sent(), _sent()[-1]])))
    assert _why(_sent([{**event, "run_id": ""} for event in good])) == {"the first event has no run id": 1}
    changed = [{**event, "data": event["data"].replace("x", "y")} for event in good]
    assert _why(_sent(changed)) == {"the chunks do not join to the answer": 1}
    assert "final events" in next(iter(_why(_sent([{**event, "is_complete": True} for event in good]))))
    many = [*_sent()[:3], *[(3.0, good[2])] * 2, *_sent()[3:]]
    assert _why(many) == {"4 progress events in 4.0 s": 1}
    assert _why([(at / 2, event) for at, event in _sent()]) == {"the answer arrived too early": 1}


def test_lost_streams_are_not_measured() -> None:
    """Lost streams have no latencies."""
    found = evaluate([Transcript(0.0, [], "no end"), transcript(_sent())], WAITING, None, 0.0)
    assert (found.streams, found.lost, found.errors) == (2, 1, {"no end": 1})
    assert found.whole.max == pytest.approx(5.2)
    assert found.events_per_stream == 30.0


def test_an_instant_query_has_one_progress_event() -> None:
    """Such a stream is complete."""
    at = [0.0, 0.0, 0.0, *(0.05 * number for number in range(25)), 1.2]
    sent = list(zip(at, events(ticks=1), strict=True))
    assert evaluate([transcript(sent)], INSTANT, None, 0.0).lost == 0

from __future__ import annotations

from typing import Any

import pytest

from bench.results import Spread, spread, tally
from bench.transcript import Transcript
from bench.workload import Scenario
from tests.bench.answers import events, transcript

WAITING = Scenario(name="waiting", streams=1, rate=500.0, seconds=4.0)
INSTANT = Scenario(name="instant", streams=1, rate=0.0, seconds=0.0)


def _sent(changed: list[dict[str, Any]] | None = None) -> list[tuple[float, dict[str, Any]]]:
    """Give a stream of 4 s that is on time: two ticks, then a piece each 0.05 s."""
    at = [0.0, 0.01, 2.01, 4.0, *(4.0 + 0.05 * number for number in range(25)), 5.2]
    return list(zip(at, changed or events(ticks=2), strict=True))


def _why(sent: list[tuple[float, dict[str, Any]]], scenario: Scenario = WAITING) -> dict[str, int]:
    return tally([transcript(sent)], scenario, None, 0.0).wrong


def test_spread() -> None:
    """Percentiles are nearest ranks, and nothing at all is zeros."""
    assert spread(range(1, 101)) == Spread(50, 99, 100)
    assert spread([7.0]) == Spread(7.0, 7.0, 7.0)
    assert spread([]) == Spread(0.0, 0.0, 0.0)


def test_a_stream_on_time() -> None:
    """A whole stream is counted, and its moments are measured from where they are defined."""
    found = tally([transcript([(10.5 + at, event) for at, event in _sent()], asked=10.0)], WAITING, 12.0, 0.25)
    assert (found.streams, found.waiting, found.lost, found.wrong) == (1, 1, 0, {})
    assert (found.events, found.events_per_stream, found.skipped, found.client_cpu) == (30, 30.0, 0, 0.25)
    assert found.first_event == Spread(0.5, 0.5, 0.5)
    assert found.jitter.most == pytest.approx(0.0)
    assert found.delivery.p50 == pytest.approx(1.2)
    assert found.whole.p50 == pytest.approx(5.7)
    assert found.wall == pytest.approx(5.7)
    assert found.peak == 21


def test_jitter_is_early_or_late() -> None:
    """A progress event that is early counts as one that is late."""
    sent = _sent()
    early = [(at - 0.005 if number == 2 else at, event) for number, (at, event) in enumerate(sent)]
    late = [(at + 0.007 if number == 2 else at, event) for number, (at, event) in enumerate(sent)]
    found = tally([transcript(early), transcript(late)], WAITING, None, 0.0)
    assert (found.jitter.p50, found.jitter.most) == (pytest.approx(0.005), pytest.approx(0.007))


def test_skipped_progress() -> None:
    """A late server may leave a progress event out; that is counted, and the stream is whole."""
    sent = _sent()
    del sent[2]
    found = tally([transcript(sent)], WAITING, None, 0.0)
    assert (found.lost, found.skipped) == (0, 1)


def test_waiting_is_between_first_and_last_event() -> None:
    """A stream waits from its first event to its last, and only then."""
    assert [tally([transcript(_sent())], WAITING, at, 0.0).waiting for at in (-1.0, 0.0, 5.1, 5.2)] == [0, 1, 1, 0]


def test_wrong_streams_are_lost() -> None:
    """Each kind of wrong stream counts as lost, with its reason."""
    good = events(ticks=2)
    assert _why(_sent()) == {}
    assert "order" in next(iter(_why(_sent()[:-1])))
    assert "order" in next(iter(_why(_sent()[:8] + _sent()[9:])))
    assert "order" in next(iter(_why([*_sent(), _sent()[-1]])))
    assert _why(_sent([{**event, "run_id": ""} for event in good])) == {"the opening has no run id": 1}
    changed = [{**event, "data": event["data"].replace("x", "y")} for event in good]
    assert _why(_sent(changed)) == {"the pieces joined are not the answer": 1}
    assert "endings" in next(iter(_why(_sent([{**event, "is_complete": True} for event in good]))))
    many = [*_sent()[:3], *[(3.0, good[2])] * 2, *_sent()[3:]]
    assert _why(many) == {"4 progress events in 4.0 s": 1}
    assert _why([(at / 2, event) for at, event in _sent()]) == {"the answer was there before its time": 1}


def test_lost_streams_are_not_measured() -> None:
    """A stream that is lost adds to no latency."""
    found = tally([Transcript(0.0, [], "no end"), transcript(_sent())], WAITING, None, 0.0)
    assert (found.streams, found.lost, found.wrong) == (2, 1, {"no end": 1})
    assert found.whole.most == pytest.approx(5.2)
    assert found.events_per_stream == 30.0


def test_instant_queries() -> None:
    """An instant query has one progress event."""
    at = [0.0, 0.0, 0.0, *(0.05 * number for number in range(25)), 1.2]
    sent = list(zip(at, events(ticks=1), strict=True))
    assert tally([transcript(sent)], INSTANT, None, 0.0).lost == 0

"""Streams of an overload are classified as complete, queued, rejected or lost."""

from __future__ import annotations

import pytest

from bench.load import count
from bench.transcript import Transcript
from bench.workload import Scenario
from tests.bench.answers import events, transcript

SCENARIO = Scenario(name="overload", streams=4, rate=0.0, seconds=2.0)


def whole(waits: tuple[float, ...] = ()) -> Transcript:
    """Build a complete stream with queue events at these times."""
    first, begins, *others = events()
    start = (waits or (0.0,))[-1] + 0.1
    queued = [(at, {"status": "queued", "position": 1, "data": ""}) for at in waits]
    answer = [(start + 4.0, event) for event in others]
    return transcript([(0.01, first), *queued, (start, begins), *answer])


def test_each_stream_is_counted_once():
    """With its latencies, and the reasons of lost streams."""
    refused = Transcript(5.0, [(5.25, b"HTTP/1.1 429 TOO MANY REQUESTS\r\n\r\n")])
    cut = Transcript(0.0, transcript([(0.1, events()[0])]).reads[:2])
    found = count([whole(), whole((0.02, 2.03)), refused, cut], SCENARIO)
    assert (found.whole, found.queued, found.refused, found.lost) == (2, 1, 1, 1)
    assert found.errors == {"the response is incomplete": 1}
    assert found.first_position.max == pytest.approx(0.02)
    assert found.turned_away.max == pytest.approx(0.25)
    assert found.late.max == pytest.approx(0.01), "the second queue event was due after an interval"

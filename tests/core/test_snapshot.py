"""A run at a glance."""

from __future__ import annotations

import pytest

from persona_stream.core.facts import Answered, Failed, ProgressReported, Started, TextDelta
from persona_stream.core.snapshot import take_snapshot
from tests.fakes import accepted, entries

ACCEPTED, STARTED = (10.0, accepted()), (11.0, Started())


@pytest.mark.parametrize(
    ("happened", "status", "percent", "elapsed"),
    [
        ([], "queued", 5, 31.0),
        ([STARTED], "processing", 23, 30.0),
        ([STARTED, (12.0, ProgressReported("", 0.5))], "processing", 50, 30.0),
        ([STARTED, (21.0, Answered("Hi."))], "complete", 100, 10.0),
        ([STARTED, (21.0, Failed("timeout"))], "timeout", 11, 10.0),
        ([STARTED, (21.0, Failed("cancelled"))], "cancelled", 11, 10.0),
        ([STARTED, (21.0, Failed("lost"))], "error", 11, 10.0),
    ],
)
def test_a_runs_state_is_read_off_its_facts(happened, status, percent, elapsed):
    """At the moment 41: thirty seconds after the start."""
    summary = take_snapshot(entries(ACCEPTED, *happened))
    assert (summary.status, summary.percent(41.0), summary.elapsed(41.0)) == (status, percent, elapsed)


def test_the_text_is_all_that_was_said():
    """Deltas and the rest, and when it began."""
    summary = take_snapshot(
        entries(ACCEPTED, STARTED, (12.0, TextDelta("Hel")), (13.0, TextDelta("lo")), (14.0, Answered("!")))
    )
    assert (summary.text, summary.text_at, summary.ended_at) == ("Hello!", 12.0, 14.0)

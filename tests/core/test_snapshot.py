"""Snapshots of runs."""

from __future__ import annotations

import pytest

from persona_stream.core.facts import AnswerDelta, Answered, Failed, ProgressReported, Started
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
def test_the_status_is_derived_from_the_facts(happened, status, percent, elapsed):
    """The snapshot is taken at 41 s, thirty seconds after the start."""
    snapshot = take_snapshot(entries(ACCEPTED, *happened))
    assert (snapshot.status, snapshot.percent(41.0), snapshot.elapsed(41.0)) == (status, percent, elapsed)


def test_the_text_joins_deltas_and_the_final_fact():
    """The times of the first text and of the end are recorded as well."""
    snapshot = take_snapshot(
        entries(ACCEPTED, STARTED, (12.0, AnswerDelta("Hel")), (13.0, AnswerDelta("lo")), (14.0, Answered("!")))
    )
    assert (snapshot.text, snapshot.text_at, snapshot.ended_at) == ("Hello!", 12.0, 14.0)

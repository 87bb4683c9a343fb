"""Snapshots of runs, and their progress."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.core.facts import AnswerDelta, Answered, Failed, ProgressReported, Started
from persona_stream.core.snapshot import ProgressTracker, take_snapshot
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


@pytest.mark.parametrize(
    ("elapsed", "percent"),
    [(0.0, 5), (1.6, 5), (1.7, 6), (15.0, 14), (75.0, 50), (149.9, 94), (150.0, 95), (999.0, 95)],
)
def test_progress_grows_linearly_until_the_deadline(elapsed, percent):
    """min(95, 5 + floor(90 × elapsed / deadline))."""
    assert ProgressTracker(150.0).percent(elapsed) == percent


@given(st.lists(st.tuples(st.floats(0, 300), st.none() | st.floats(0, 1)), max_size=20))
def test_the_percentage_never_falls(story):
    """Not for any sequence of reported fractions."""
    tracker, seen = ProgressTracker(150.0), []
    for elapsed, fraction in sorted(story, key=lambda step: step[0]):
        tracker.report(ProgressReported("", fraction), elapsed)
        seen.append(tracker.percent(elapsed))
    assert seen == sorted(seen)
    assert all(5 <= percent <= 95 for percent in seen)


def test_the_eta_is_known_once_the_backend_has_reported_enough():
    """25 % after 10 s leaves 30 s, which then count down."""
    tracker = ProgressTracker(150.0)
    assert tracker.eta(5.0) is None
    tracker.report(ProgressReported("", 0.25), 10.0)
    assert tracker.eta(10.0) == pytest.approx(30.0)
    assert tracker.eta(20.0) == pytest.approx(20.0)
    assert tracker.eta(50.0) == 0.0


def test_an_empty_message_leaves_the_last_one():
    """A report without a message does not clear the status text."""
    tracker = ProgressTracker(150.0)
    tracker.report(ProgressReported("Reading", None), 1.0)
    tracker.report(ProgressReported("", 0.5), 2.0)
    assert tracker.message == "Reading"


def test_another_estimator_can_be_used():
    """Its result is limited to 95 % like that of the default estimator."""
    tracker = ProgressTracker(150.0, lambda elapsed, deadline: elapsed * 50)
    assert [tracker.percent(elapsed) for elapsed in (0.0, 1.0, 3.0)] == [0, 50, 95]

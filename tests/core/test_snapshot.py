"""Snapshots of runs, and their progress."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from persona_stream.core.facts import (
    AnswerDelta,
    Answered,
    Failed,
    InputClosed,
    InputRequested,
    ProgressReported,
    Started,
)
from persona_stream.core.forecast import DurationHistory, FinishedRun, Forecast, RunFeatures
from persona_stream.core.query import InputRequest
from persona_stream.core.snapshot import ProgressTracker, take_snapshot
from tests.fakes import accepted, entries

ACCEPTED, STARTED = (10.0, accepted()), (11.0, Started())
ASKED = (21.0, InputRequested(InputRequest("q1", "Which file?", ("a", "b"), 60.0)))
REFUSED = (21.0, InputRequested(InputRequest("q1", "Which file?", is_refused=True)))


@pytest.mark.parametrize(
    ("happened", "status", "percent", "elapsed"),
    [
        ([], "queued", 5, 31.0),
        ([STARTED], "processing", 23, 30.0),
        ([STARTED, (12.0, ProgressReported("", 0.5))], "processing", 50, 30.0),
        ([STARTED, ASKED], "input_required", 23, 30.0),
        ([STARTED, ASKED, (22.0, InputClosed("q1", "a"))], "processing", 23, 30.0),
        ([STARTED, ASKED, (22.0, InputClosed("q2", "a"))], "input_required", 23, 30.0),
        ([STARTED, REFUSED], "processing", 23, 30.0),
        ([STARTED, ASKED, (31.0, Failed("lost"))], "error", 17, 20.0),
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


def test_a_question_expires_at_its_timeout_or_with_the_run():
    """Whichever comes first; the oldest open question is the one that users see."""
    asked = entries(ACCEPTED, STARTED, ASKED, (22.0, InputRequested(InputRequest("q2", "Why?"))))
    snapshot = take_snapshot(asked)
    assert snapshot.open_input == (21.0, ASKED[1].request)
    assert (snapshot.input_expires_in(41.0), snapshot.input_expires_in(90.0)) == (40.0, 0.0)
    second = take_snapshot([*asked, *entries((30.0, InputClosed("q1")))])
    assert second.open_input == (22.0, InputRequest("q2", "Why?"))
    assert second.input_expires_in(41.0) == 120.0


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


FORECAST = Forecast((10.0, 20.0, 40.0, 80.0), (250, 600, 800, 900), (0, 300, 800, 1000), runs=20)


@given(
    st.sampled_from([None, FORECAST]), st.lists(st.tuples(st.floats(0, 300), st.none() | st.floats(0, 1)), max_size=20)
)
def test_the_percentage_never_falls(forecast, story):
    """Not for any sequence of reported fractions, with and without a forecast."""
    tracker = ProgressTracker(150.0)
    tracker.start(Started(forecast=forecast))
    seen = []
    for elapsed, fraction in sorted(story, key=lambda step: step[0]):
        seen.append(tracker.percent(elapsed))
        tracker.report(ProgressReported("", fraction), elapsed)
        seen.append(tracker.percent(elapsed))
        eta = tracker.estimate(elapsed)[1]
        assert eta is None or 0 < eta < math.inf
    assert seen == sorted(seen)
    assert all(5 <= percent <= 95 for percent in seen)


def test_a_forecast_replaces_the_linear_growth():
    """The percentage follows its curve, and the remaining time is the median of the runs that took longer."""
    snapshot = take_snapshot(entries(ACCEPTED, (11.0, Started(forecast=FORECAST))))
    assert [snapshot.percent(11.0 + elapsed) for elapsed in (0.0, 10.0, 30.0, 60.0, 800.0)] == [5, 25, 70, 85, 95]
    assert [snapshot.progress.estimate(elapsed)[1] for elapsed in (0.0, 20.0, 90.0)] == [28.0, 14.0, None]


def test_a_forecast_from_few_runs_has_a_percentage_alone():
    """The remaining time is absent rather than a guess."""
    tracker = ProgressTracker(150.0)
    tracker.start(Started(forecast=structs.replace(FORECAST, runs=4)))
    assert tracker.estimate(10.0) == (25, None)


def test_reports_are_carried_forward_at_their_slope():
    """Reports of (n - 1)/8 before each page of 4 s: the percentage is exact, then slower towards the next report."""
    tracker = ProgressTracker(150.0)
    tracker.report(ProgressReported("", 0.0), 0.0)
    assert tracker.estimate(2.0) == (6, None)
    tracker.report(ProgressReported("", 0.125), 4.0)
    assert [tracker.percent(elapsed) for elapsed in (4.0, 6.0, 7.2, 8.0, 40.0)] == [12, 18, 22, 23, 24]
    assert tracker.estimate(4.0)[1] == pytest.approx(28.0)
    assert tracker.estimate(6.0)[1] == pytest.approx(26.0)
    tracker.report(ProgressReported("", 0.25), 8.0)
    assert tracker.estimate(10.0)[1] == pytest.approx(22.0)
    tracker.report(ProgressReported("", 1.0), 32.0)
    assert tracker.estimate(40.0) == (95, None)


def test_the_pace_of_earlier_runs_counts_the_more_the_more_equally_long_they_took():
    """After a first page of 8 s, the others are expected to take 4 s, if all earlier runs took 32 s."""
    remaining = []
    for seconds in ((31.0, 32.0, 33.0), (8.0, 32.0, 128.0)):
        tracker = ProgressTracker(150.0)
        tracker.start(Started(forecast=Forecast(seconds, (250, 600, 900), (0, 500, 1000), runs=20)))
        tracker.report(ProgressReported("", 0.0), 0.0)
        tracker.report(ProgressReported("", 0.125), 8.0)
        remaining.append(tracker.estimate(8.0)[1])
    equal, unequal = remaining
    assert equal == pytest.approx(28.0, rel=0.05)
    assert unequal == pytest.approx(53.0, rel=0.05)


def test_a_forecast_waits_for_the_second_report():
    """It rises early, in case that the run is short, and a bar cannot fall to the progress that the reports show."""
    history = DurationHistory(150.0)
    for _ in range(5):
        history.add(FinishedRun(32.0))
    model = history.fit()
    assert model is not None
    tracker = ProgressTracker(150.0)
    tracker.start(Started(forecast=model.forecast(RunFeatures())))
    assert tracker.percent(3.9) > 15
    tracker.report(ProgressReported("", 0.0), 0.0)
    assert tracker.percent(3.9) == pytest.approx(12, abs=1)
    tracker.report(ProgressReported("", 0.125), 4.0)
    assert tracker.percent(4.0) == pytest.approx(12, abs=1)


@pytest.mark.parametrize("others", [0.01, 60.0, 140.0])
@pytest.mark.parametrize(
    ("timeouts", "is_late"), [(0, False), (30, False), (45, False), (55, True), (70, True), (100, True)]
)
def test_a_run_is_late_if_most_earlier_ones_missed_the_deadline(timeouts, is_late, others):
    """From its start on."""
    history = DurationHistory(150.0)
    for number in range(200):
        is_timeout = number * 37 % 100 < timeouts
        history.add(FinishedRun(150.0, "timeout") if is_timeout else FinishedRun(others))
    model = history.fit()
    assert model is not None
    tracker = ProgressTracker(150.0)
    tracker.start(Started(forecast=model.forecast(RunFeatures())))
    assert tracker.is_late(0.0, tracker.estimate(0.0)[1]) == is_late


def test_a_run_is_late_if_its_reports_are_too_slow():
    """Pages of 25 s instead of 4 s, with a deadline of 150 s; without an estimate there is no warning."""
    tracker = ProgressTracker(150.0)
    tracker.start(Started())
    assert not tracker.is_late(149.0, tracker.estimate(149.0)[1])
    seen = []
    for page in range(4):
        tracker.report(ProgressReported("", page / 8), 25.0 * page)
        seen.append(tracker.is_late(25.0 * page, tracker.estimate(25.0 * page)[1]))
    assert seen == [False, True, True, True]


def test_two_reports_at_the_same_time_have_no_slope():
    """The latest one still raises the percentage."""
    tracker = ProgressTracker(150.0)
    for fraction in (0.2, 0.4):
        tracker.report(ProgressReported("", fraction), 1.0)
    assert tracker.estimate(2.0) == (40, None)


def test_an_empty_message_leaves_the_last_one():
    """A report without a message does not clear the status text."""
    tracker = ProgressTracker(150.0)
    tracker.report(ProgressReported("Reading", None), 1.0)
    tracker.report(ProgressReported("", 0.5), 2.0)
    assert tracker.message == "Reading"

"""Forecasts of runs from the earlier runs of their backend, and their accuracy."""

from __future__ import annotations

import random

import gevent
import pytest
from msgspec import structs

from persona_stream.core.facts import AnswerDelta, Answered, Entry, Failed, ProgressReported, Queued, Started
from persona_stream.core.forecast import FinishedRun, RunFeatures
from persona_stream.errors import Unavailable
from persona_stream.runs.forecasts import RunForecasts, finished_run, replay
from tests.fakes import accepted, entries
from tests.polling import wait_for

DEADLINE = 150.0


def run_of(seconds: float, forecasts: RunForecasts | None = None, tokens: int = 0) -> list[Entry]:
    """Return the journal of a run that takes so many seconds, with the forecast that it would get."""
    forecast = None if forecasts is None else forecasts.forecast("slow", RunFeatures(tokens))
    terms = structs.replace(accepted(), question_tokens=tokens)
    return entries((0.0, terms), (2.0, Started(0, forecast)), (2.0 + seconds, Answered("Done.")))


def known(forecasts: RunForecasts, runs: int) -> bool:
    """Return whether the forecast of the backend is from so many runs."""
    forecast = forecasts.forecast("slow", RunFeatures())
    return forecast is not None and forecast.runs == runs


def after(seconds: list[float]) -> RunForecasts:
    """Return the forecasts after runs of a backend, of which each took so many seconds."""
    forecasts = RunForecasts(DEADLINE)
    for each in seconds:
        forecasts.record("slow", run_of(each))
    wait_for(lambda: known(forecasts, len(seconds)), sleep=gevent.sleep)
    return forecasts


def test_the_forecast_comes_from_the_earlier_runs_of_the_backend():
    """Recording returns at once, and other backends have none."""
    forecasts = RunForecasts(DEADLINE)
    assert forecasts.forecast("slow", RunFeatures()) is None
    assert forecasts.expected("slow", "Ada", 0.0) == (None, 0)
    assert forecasts.expected_seconds("slow", RunFeatures()) is None
    for _ in range(20):
        forecasts.record("slow", run_of(10.0))
    assert forecasts.forecast("slow", RunFeatures()) is None
    wait_for(lambda: known(forecasts, 20), sleep=gevent.sleep)
    expected, runs = forecasts.expected("slow", "Ada", 0.0)
    assert runs == 20
    assert expected is not None
    assert expected.low <= expected.median == pytest.approx(10.0, rel=0.05)
    assert forecasts.expected_seconds("slow", RunFeatures()) == pytest.approx(12.0, rel=0.25)
    assert forecasts.forecast("fast", RunFeatures()) is None


def test_a_few_runs_give_no_expected_duration():
    """The percentage alone follows them."""
    forecasts = after([10.0] * 4)
    assert forecasts.expected("slow", "Ada", 0.0) == (None, 4)
    assert forecasts.expected_seconds("slow", RunFeatures()) is None


def test_runs_that_end_later_are_fitted_at_most_once_a_second():
    """All of them together."""
    forecasts = after([10.0])
    for _ in range(3):
        forecasts.record("slow", run_of(12.0))
    gevent.sleep(0.1)
    assert known(forecasts, 1)
    wait_for(lambda: known(forecasts, 4), sleep=gevent.sleep)


def test_of_many_runs_that_end_within_a_second_the_newest_are_recorded():
    """So that the fit takes a few milliseconds, however many runs end."""
    forecasts = RunForecasts(DEADLINE)
    for seconds in range(500):
        forecasts.record("slow", run_of(0.1 * seconds))
    wait_for(lambda: known(forecasts, 50), sleep=gevent.sleep)
    expected, _ = forecasts.expected("slow", "Ada", 0.0)
    assert expected is not None
    assert expected.median == pytest.approx(47.5, rel=0.1)


def test_runs_of_an_earlier_process_come_first():
    """Whenever they are read."""
    forecasts = after([10.0] * 2)
    forecasts.load([("slow", FinishedRun(20.0))] * 8 + [("fast", FinishedRun(1.0))])
    wait_for(lambda: known(forecasts, 10), sleep=gevent.sleep)
    assert forecasts.forecast("fast", RunFeatures()) is not None


def test_runs_of_the_request_log_that_the_history_has_are_left_out():
    """Runs that started after the first one of the history."""
    forecasts = after([10.0] * 2)  # started at 2.0
    log = [FinishedRun(10.0, features=RunFeatures(at=at)) for at in (0.0, 1.0, 2.0, 3.0)]
    forecasts.load([("slow", run) for run in log])
    wait_for(lambda: known(forecasts, 4), sleep=gevent.sleep)
    gevent.sleep(0.1)  # time for a fit with further runs
    assert known(forecasts, 4)


def test_processes_that_share_a_history_have_the_same_forecast():
    """Each reads the runs of all; its own ones alone have an accuracy there."""
    runs = [("slow", FinishedRun(float(seconds))) for seconds in range(10, 20)]
    here, there = (RunForecasts(DEADLINE, new_durations=iter([runs, []]).__next__) for _ in range(2))
    here.record("slow", run_of(10.0))
    for forecasts in (here, there):
        forecasts.read_shared()
        forecasts.read_shared()
        wait_for(lambda forecasts=forecasts: known(forecasts, 10), sleep=gevent.sleep)
    assert here.forecast("slow", RunFeatures()) == there.forecast("slow", RunFeatures())
    wait_for(lambda: set(here.accuracy()) == {"slow"}, sleep=gevent.sleep)
    assert there.accuracy() == {}


def test_a_history_is_read_again_after_its_store_was_unavailable():
    """The greenlet that reads it continues."""
    replies = iter([Unavailable("Redis is unavailable", 1), [("slow", FinishedRun(10.0))]])

    def new_durations() -> list[tuple[str, FinishedRun]]:
        reply = next(replies, [])
        if isinstance(reply, Unavailable):
            raise reply
        return reply

    forecasts = RunForecasts(DEADLINE, new_durations=new_durations)
    reading = gevent.spawn(forecasts.follow_shared)
    wait_for(lambda: known(forecasts, 1), sleep=gevent.sleep)
    reading.kill()


def test_the_slot_is_needed_until_the_text_has_been_streamed():
    """The expected duration until the text does not include it."""
    forecasts = RunForecasts(DEADLINE)
    run = entries((0.0, accepted()), (0.0, Started()), (10.0, AnswerDelta("Do")), (40.0, Answered("ne.")))
    for _ in range(30):
        forecasts.record("slow", run)
    wait_for(lambda: known(forecasts, 30), sleep=gevent.sleep)
    expected, _ = forecasts.expected("slow", "Ada", 0.0)
    assert expected is not None
    assert expected.median == pytest.approx(10.0, rel=0.1)
    assert forecasts.expected_seconds("slow", RunFeatures()) > 35.0


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        ([(3.0, Started()), (8.0, Answered("Hi."))], (5.0, "complete")),
        ([(3.0, Started()), (8.0, AnswerDelta("H")), (9.0, Failed("internal"))], (5.0, "complete")),
        ([(3.0, Started()), (8.0, Failed("timeout"))], (5.0, "timeout")),
        ([(3.0, Started()), (8.0, Failed("cancelled"))], (5.0, "cancelled")),
        ([(3.0, Started()), (8.0, Failed("internal"))], None),
        ([(1.0, Queued(1)), (8.0, Failed("timeout"))], None),
    ],
)
def test_the_duration_counts_until_the_text(happened, expected):
    """Failures are left out, and so are runs that never started."""
    run = finished_run(entries((0.0, accepted()), *happened))
    assert (run and (run.duration, run.outcome)) == expected


def test_the_features_are_known_at_the_start():
    """Tokens, persona and time."""
    run = finished_run(entries((0.0, accepted()), (3.0, Started(7)), (8.0, Answered("Hi."))))
    assert run is not None
    assert run.features == RunFeatures(question_tokens=0, history_tokens=7, persona="VitalikButerin", at=3.0)


def test_the_accuracy_compares_with_the_true_percentage_and_the_best_curve():
    """Of the runs of each backend that have ended."""
    forecasts = after([10.0] * 30)
    wait_for(lambda: set(forecasts.accuracy()) == {"slow"}, sleep=gevent.sleep)
    before = forecasts.accuracy()["slow"]
    assert before.runs == 30
    assert before.error > 40.0  # linear until the deadline
    assert before.best_error < 3.0
    assert before.coverage is None
    for _ in range(30):
        forecasts.record("slow", run_of(10.0, forecasts))
    wait_for(lambda: forecasts.accuracy()["slow"].runs == 60, sleep=gevent.sleep)
    later = forecasts.accuracy()["slow"]
    assert later.error < before.error
    assert later.stuck == 0.0
    assert later.coverage is not None


def test_the_expected_duration_is_that_of_a_question_of_usual_length():
    """Where the length explains the durations; of the persona, if it has answered before."""
    forecasts = RunForecasts(DEADLINE)
    runs = [
        FinishedRun(0.1 * tokens * factor, features=RunFeatures(tokens, persona=persona))
        for tokens in range(50, 150, 5)
        for persona, factor in (("Ada", 1.0), ("Bob", 3.0))
    ]
    forecasts.load([("slow", run) for run in runs])
    wait_for(lambda: known(forecasts, 40), sleep=gevent.sleep)
    for persona, seconds in (("Ada", 10.0), ("Bob", 30.0)):
        expected, _ = forecasts.expected("slow", persona, 0.0)
        assert expected is not None
        assert expected.median == pytest.approx(seconds, rel=0.3)


def test_reports_count_in_the_accuracy():
    """With true reports the error is small from the first run on."""
    forecasts = RunForecasts(DEADLINE)
    reports = [(number * 4.0, ProgressReported("", number / 8)) for number in range(8)]
    forecasts.record("slow", entries((0.0, accepted()), (0.0, Started()), *reports, (32.0, Answered("Done."))))
    wait_for(lambda: "slow" in forecasts.accuracy(), sleep=gevent.sleep)
    assert forecasts.accuracy()["slow"].error < 4.0


def test_the_accuracy_is_passed_on_after_each_fit():
    """For the metrics."""
    seen = []
    forecasts = RunForecasts(DEADLINE, lambda backend, accuracy: seen.append((backend, accuracy.runs)))
    forecasts.record("slow", run_of(10.0))
    wait_for(lambda: seen == [("slow", 1)], sleep=gevent.sleep)


def test_a_log_of_durations_is_replayed():
    """As if each run had been forecast from the earlier ones."""
    source = random.Random(1)
    runs = [FinishedRun(source.lognormvariate(2.5, 0.5)) for _ in range(60)]
    accuracy = replay(runs, DEADLINE)
    assert accuracy is not None
    assert accuracy.runs == 60
    assert accuracy.error < 1.3 * accuracy.best_error
    assert replay([], DEADLINE) is None
    assert replay([FinishedRun(10.0, "cancelled")], DEADLINE) is None

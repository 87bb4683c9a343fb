"""Forecasts of durations, and the histories that they come from."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_stream.core.cursor import BEGINNING, Position
from persona_stream.core.events import Progress
from persona_stream.core.facts import Fact, Failed, ProgressReported, Started
from persona_stream.core.forecast import (
    DurationHistory,
    DurationModel,
    FinishedRun,
    Forecast,
    RunFeatures,
    find_change,
    pool_adjacent_violators,
)
from persona_stream.core.snapshot import take_snapshot
from tests.fakes import accepted, entries, read, subscription_options

DEADLINE = 150.0
RUNS = st.lists(
    st.builds(
        FinishedRun,
        duration=st.floats(0, DEADLINE) | st.sampled_from([0.0, 0.001, 10.0, DEADLINE]),
        outcome=st.sampled_from(["complete", "complete", "complete", "timeout", "cancelled"]),
        features=st.builds(
            RunFeatures,
            question_tokens=st.integers(0, 100_000),
            history_tokens=st.integers(0, 100_000),
            persona=st.sampled_from("abcdefghijkl"),
            at=st.floats(0, 2e9),
        ),
    ),
    min_size=1,
    max_size=40,
)


def model_of(runs: list[FinishedRun]) -> DurationModel:
    """Return the model of a history."""
    history = DurationHistory(DEADLINE)
    for run in runs:
        history.add(run)
    model = history.fit()
    assert model is not None
    return model


def lognormal_runs(count: int, seed: int = 1, median: float = 12.0, spread: float = 0.5) -> list[FinishedRun]:
    """Return runs with random durations."""
    source = random.Random(seed)
    return [FinishedRun(source.lognormvariate(math.log(median), spread)) for _ in range(count)]


def explained_runs(count: int) -> list[FinishedRun]:
    """Return runs whose durations depend on the length of the question and on the persona."""
    source = random.Random(1)
    runs = []
    for _ in range(count):
        tokens = int(source.lognormvariate(5.0, 1.0))
        persona = source.choice("ab")
        duration = 0.1 * tokens * (3.0 if persona == "b" else 1.0) * source.lognormvariate(0.0, 0.1)
        runs.append(FinishedRun(min(duration, DEADLINE), features=RunFeatures(tokens, persona=persona)))
    return runs


FORECASTS = [model_of(runs).forecast(RunFeatures(30)) for runs in (lognormal_runs(3), explained_runs(40))]


@given(RUNS, st.lists(st.floats(0, 1000), min_size=2))
@settings(max_examples=30)
def test_a_forecast_never_falls(runs, times):
    """Neither its knots nor the values between and after them, for any history."""
    forecast = model_of(runs).forecast(runs[0].features)
    for values in (forecast.seconds, forecast.permille, forecast.ended):
        assert list(values) == sorted(values)
        assert 2 <= len(values) <= 16
    percents = [forecast.percent(elapsed) for elapsed in sorted(times)]
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(percents))
    assert all(0 <= percent <= 100 for percent in percents)


@given(RUNS, st.floats(0, 1000))
@settings(max_examples=30)
def test_the_range_of_the_remaining_time_is_ordered(runs, elapsed):
    """Low, median and high are never negative, and the median is the ETA."""
    forecast = model_of(runs).forecast(runs[-1].features)
    remaining = forecast.remaining(elapsed)
    if remaining is None:
        assert forecast.eta(elapsed) is None
        return
    assert 0 <= remaining.low <= remaining.median <= remaining.high < math.inf
    assert forecast.eta(elapsed) == remaining.median


@given(RUNS)
@settings(max_examples=30)
def test_a_forecast_is_equal_after_it_was_stored(runs):
    """As JSON and as MessagePack, within its fact."""
    fact = Started(3, model_of(runs).forecast(runs[0].features))
    for codec in (msgspec.json, msgspec.msgpack):
        data = codec.encode(fact)
        assert codec.decode(data, type=Fact) == fact
        assert len(data) < 500


@pytest.mark.parametrize("data", [b'{"type":"started"}', b'{"type":"started","history_tokens":7}'])
def test_facts_without_a_forecast_are_unchanged(data):
    """Facts that earlier versions wrote can be read, and are written as before."""
    fact = msgspec.json.decode(data, type=Fact)
    assert isinstance(fact, Started)
    assert fact.forecast is None
    assert msgspec.json.encode(fact) == data


@given(
    st.sampled_from([None, *FORECASTS]),
    st.lists(st.tuples(st.floats(0, 30), st.none() | st.floats(0, 1)), max_size=6),
    st.integers(0, 30 * 64).map(lambda count: count / 64),
    st.integers(0, 4),
    st.sampled_from([32.0, DEADLINE]),
)
@settings(max_examples=20)
def test_progress_is_independent_of_the_moment_of_joining(forecast, reports, since, known, deadline):
    """A later subscriber is sent the same percentage, ETA and text at the same time; the snapshot has the numbers."""
    in_order = sorted(reports, key=lambda report: report[0])
    run = entries(
        (0.0, accepted(deadline=deadline)),
        (0.0, Started(0, forecast)),
        *((at, ProgressReported("", fraction)) for at, fraction in in_order),
        (31.0, Failed("internal")),
    )

    def progress(since: float, start: Position) -> dict[float, tuple[float, tuple[int, float | None], str]]:
        events = read(run, subscription_options(start=start), since=since)
        ticks = [(at, event) for at, event in events if isinstance(event, Progress) and event.elapsed > 0]
        return {at: (event.elapsed, (event.percent, event.eta), event.message) for at, event in ticks}

    whole = progress(0.0, BEGINNING)
    late = progress(since, Position(known, 0))
    assert {at: late[at] for at in late if at in whole} == {at: whole[at] for at in whole if at in late}
    shown = {**whole, **late}
    percents = [shown[at][1][0] for at in sorted(shown)]
    assert percents == sorted(percents)
    assert all(5 <= percent <= 95 for percent in percents)
    for elapsed, estimate, _ in shown.values():
        snapshot = take_snapshot([entry for entry in run if entry.at <= elapsed])
        assert snapshot.progress.estimate(elapsed) == estimate


def test_without_runs_there_is_no_model():
    """So the percentage grows linearly."""
    assert DurationHistory(DEADLINE).fit() is None


def test_the_median_of_the_remaining_time_is_that_of_the_longer_runs():
    """Of 200 equal durations nearly all is known; of random ones, the median."""
    equal = model_of([FinishedRun(10.0)] * 200).forecast(RunFeatures())
    assert equal.eta(0.0) == pytest.approx(10.0, rel=0.05)
    assert equal.percent(5.0) == pytest.approx(50.0, abs=3.0)
    spread = model_of(lognormal_runs(200)).forecast(RunFeatures())
    assert spread.eta(0.0) == pytest.approx(12.0, rel=0.15)


def test_a_cancelled_run_counts_as_a_longer_one():
    """As one that ended, it would shorten the forecast."""
    runs = lognormal_runs(50)
    cancelled = [each for run in runs for each in (run, FinishedRun(3.0, "cancelled"))]
    ended = [each for run in runs for each in (run, FinishedRun(3.0))]
    expected = model_of(runs).forecast(RunFeatures()).eta(0.0)
    assert model_of(cancelled).forecast(RunFeatures()).eta(0.0) == pytest.approx(expected, rel=0.15)
    assert model_of(ended).forecast(RunFeatures()).eta(0.0) < 0.6 * expected


def test_a_history_of_cancelled_runs_alone_has_a_forecast():
    """The imagined runs take over their weight."""
    assert model_of([FinishedRun(20.0, "cancelled")] * 6).forecast(RunFeatures()).eta(0.0) > 20.0


def test_the_scale_follows_the_features_if_they_explain_durations():
    """The forecasts of two questions and of two personas differ as their durations do."""
    model = model_of(explained_runs(60))
    short, long, other = (
        model.forecast(RunFeatures(tokens, persona=persona)).eta(0.0)
        for tokens, persona in ((50, "a"), (500, "a"), (50, "b"))
    )
    assert long / short == pytest.approx(10.0, rel=0.35)
    assert other / short == pytest.approx(3.0, rel=0.35)


def test_the_regression_is_not_used_if_it_explains_nothing():
    """Nor with few runs: all runs then have the same forecast."""
    source = random.Random(2)
    for runs in (
        explained_runs(8),
        [FinishedRun(run.duration, features=RunFeatures(source.randrange(1000))) for run in lognormal_runs(100)],
    ):
        model = model_of(runs)
        assert model.coefficients == ()
        assert model.forecast(RunFeatures(1)) is model.forecast(RunFeatures(1000))


@pytest.mark.parametrize("duration", [0.0002, 10.0])
def test_runs_that_take_equally_long_have_one_forecast(duration):
    """The error that the ridge causes is no reason to compute a scale for each run."""
    features = RunFeatures(2, persona="a", at=40_000.0)
    assert model_of([FinishedRun(duration, features=features)] * 100).coefficients == ()


def test_a_backend_that_becomes_slower_changes_the_forecast_after_a_few_runs():
    """Ten runs suffice for a factor of three, after two hundred of the old duration."""
    slower = [FinishedRun(3 * run.duration) for run in lognormal_runs(10, seed=3)]
    assert model_of([*lognormal_runs(200), *slower]).forecast(RunFeatures()).eta(0.0) > 25.0


def test_a_change_is_found_where_the_mean_changes():
    """Random values around one mean have none."""
    source = random.Random(1)
    values = [source.gauss(0.0, 1.0) for _ in range(100)]
    assert find_change(values) == 0
    assert find_change([]) == 0
    assert find_change([*values, *(value + 3.0 for value in values[:20])]) == pytest.approx(100, abs=2)


@given(st.lists(st.tuples(st.floats(-10, 10), st.floats(0.1, 10))))
def test_pooled_values_never_fall_and_keep_the_weighted_mean(points):
    """Which values of least squared distance do."""
    pooled = pool_adjacent_violators(points)
    assert all(earlier <= later for earlier, later in pairwise(pooled))
    mean = sum(value * weight for value, weight in points)
    assert sum(value * weight for value, (_, weight) in zip(pooled, points, strict=True)) == pytest.approx(mean)
    assert pool_adjacent_violators([(3.0, 1.0), (1.0, 1.0), (2.0, 2.0), (5.0, 1.0)]) == [2.0, 2.0, 2.0, 5.0]


def test_the_history_keeps_the_newest_runs():
    """Two hundred of them, whose number the forecast has."""
    assert model_of(lognormal_runs(250)).curve.runs == 200


def test_a_stored_forecast_is_checked_when_it_is_read():
    """Like the other values of a fact."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"type":"started","forecast":{"seconds":"soon"}}', type=Fact)
    forecast = Forecast((1.0, 2.0), (200, 900), (0, 1000))
    assert msgspec.json.decode(msgspec.json.encode(Started(forecast=forecast)), type=Fact) == Started(forecast=forecast)

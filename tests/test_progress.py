"""How far a run is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.core.facts import Reported
from persona_stream.core.progress import Estimate


@pytest.mark.parametrize(
    ("elapsed", "percent"),
    [(0.0, 5), (1.6, 5), (1.7, 6), (15.0, 14), (75.0, 50), (149.9, 94), (150.0, 95), (999.0, 95)],
)
def test_the_bar_fills_in_the_time_that_the_run_may_take(elapsed, percent):
    """min(95, 5 + floor(90 × elapsed / deadline))."""
    assert Estimate(150.0).percent(elapsed) == percent


@given(st.lists(st.tuples(st.floats(0, 300), st.none() | st.floats(0, 1)), max_size=20))
def test_the_percentage_never_falls(story):
    """Whatever a backend reports, and in whatever order."""
    estimate, seen = Estimate(150.0), []
    for elapsed, fraction in sorted(story, key=lambda step: step[0]):
        estimate.report(Reported("", fraction), elapsed)
        seen.append(estimate.percent(elapsed))
    assert seen == sorted(seen)
    assert all(5 <= percent <= 95 for percent in seen)


def test_the_time_left_is_known_once_the_backend_told_enough():
    """A quarter done after ten seconds leaves thirty, and they pass."""
    estimate = Estimate(150.0)
    assert estimate.eta(5.0) is None
    estimate.report(Reported("", 0.25), 10.0)
    assert estimate.eta(10.0) == pytest.approx(30.0)
    assert estimate.eta(20.0) == pytest.approx(20.0)
    assert estimate.eta(50.0) == 0.0


def test_an_empty_message_leaves_the_last_one():
    """A report of a share alone does not take the text away."""
    estimate = Estimate(150.0)
    estimate.report(Reported("Reading", None), 1.0)
    estimate.report(Reported("", 0.5), 2.0)
    assert estimate.message == "Reading"


def test_a_better_estimator_can_take_the_place():
    """Its guess is held to the law all the same."""
    estimate = Estimate(150.0, lambda elapsed, deadline: elapsed * 50)
    assert [estimate.percent(elapsed) for elapsed in (0.0, 1.0, 3.0)] == [0, 50, 95]

"""How far a run is.

Pieces are due one after the other, and the last in time.
"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.chunking.sentence_boundaries import ends_sentence
from persona_stream.core.facts import ProgressReported
from persona_stream.core.progress import MAX_DELIVERY_SECONDS, ProgressTracker, schedule_chunks


@pytest.mark.parametrize(
    ("elapsed", "percent"),
    [(0.0, 5), (1.6, 5), (1.7, 6), (15.0, 14), (75.0, 50), (149.9, 94), (150.0, 95), (999.0, 95)],
)
def test_the_bar_fills_in_the_time_that_the_run_may_take(elapsed, percent):
    """min(95, 5 + floor(90 × elapsed / deadline))."""
    assert ProgressTracker(150.0).percent(elapsed) == percent


@given(st.lists(st.tuples(st.floats(0, 300), st.none() | st.floats(0, 1)), max_size=20))
def test_the_percentage_never_falls(story):
    """Whatever a backend reports, and in whatever order."""
    estimate, seen = ProgressTracker(150.0), []
    for elapsed, fraction in sorted(story, key=lambda step: step[0]):
        estimate.report(ProgressReported("", fraction), elapsed)
        seen.append(estimate.percent(elapsed))
    assert seen == sorted(seen)
    assert all(5 <= percent <= 95 for percent in seen)


def test_the_time_left_is_known_once_the_backend_told_enough():
    """A quarter done after ten seconds leaves thirty, and they pass."""
    estimate = ProgressTracker(150.0)
    assert estimate.eta(5.0) is None
    estimate.report(ProgressReported("", 0.25), 10.0)
    assert estimate.eta(10.0) == pytest.approx(30.0)
    assert estimate.eta(20.0) == pytest.approx(20.0)
    assert estimate.eta(50.0) == 0.0


def test_an_empty_message_leaves_the_last_one():
    """A report of a share alone does not take the text away."""
    estimate = ProgressTracker(150.0)
    estimate.report(ProgressReported("SubscriptionClosed", None), 1.0)
    estimate.report(ProgressReported("", 0.5), 2.0)
    assert estimate.message == "SubscriptionClosed"


def test_a_better_estimator_can_take_the_place():
    """Its guess is held to the law all the same."""
    estimate = ProgressTracker(150.0, lambda elapsed, deadline: elapsed * 50)
    assert [estimate.percent(elapsed) for elapsed in (0.0, 1.0, 3.0)] == [0, 50, 95]


@pytest.mark.parametrize(
    ("pieces", "pause", "moments"),
    [
        ([], 0.05, []),
        (["Hello."], 0.05, [0.0]),
        (["one ", "two ", "three"], 0.5, [0.0, 0.5, 1.0]),
        (["One. ", "two ", "Three!", "Four"], 0.5, [0.0, 1.0, 1.5, 2.5]),
        (["你好。", "世界，", "再见"], 0.5, [0.0, 1.0, 1.5]),
        (["one ", "two "], 0.0, [0.0, 0.0]),
        # 5 and 10 and 5 seconds are brought down to 2.5 and 5 and 2.5.
        (["one ", "two. ", "three ", "four"], 5.0, [0.0, 2.5, 7.5, 10.0]),
    ],
)
def test_moments(pieces: list[str], pause: float, moments: list[float]) -> None:
    """The first is due at once, the others after their pauses, twice as long behind a sentence's end."""
    assert schedule_chunks(pieces, pause) == moments


def test_own_cap() -> None:
    """The cap can be another."""
    assert schedule_chunks(["a", "b", "c"], 1.0, cap=1.0) == [0.0, 0.5, 1.0]
    assert schedule_chunks(["a", "b", "c"], 1.0, cap=0.0) == [0.0, 0.0, 0.0]


@given(
    st.lists(st.sampled_from(["word ", "end. ", "。", "\n", "e.g. "]), min_size=1, max_size=20),
    st.floats(0, 1e6),
    st.floats(0, 100),
)
def test_in_time(pieces: list[str], pause: float, cap: float) -> None:
    """There is a moment for each piece, none is before the one before it, and the last is within the cap."""
    moments = schedule_chunks(pieces, pause, cap)
    assert len(moments) == len(pieces)
    assert moments[0] == 0.0
    assert moments == sorted(moments)
    assert moments[-1] <= cap


def test_a_long_answer() -> None:
    """A thousand pieces take no longer than ten seconds."""
    assert schedule_chunks(["word "] * 1000, 0.05)[-1] == MAX_DELIVERY_SECONDS == 10.0


@pytest.mark.parametrize(
    ("pause", "cap"), [(-0.1, 10.0), (math.nan, 10.0), (math.inf, 10.0), (0.1, -1.0), (0.1, math.nan)]
)
def test_impossible(pause: float, cap: float) -> None:
    """A pause that is no duration is refused."""
    with pytest.raises(ValueError, match="cannot be kept"):
        schedule_chunks(["a"], pause, cap)


@pytest.mark.parametrize(
    "piece",
    [
        "The end.",
        "The end. ",
        "Really?! ",
        "Wait... ",
        "好。",
        "“好！”",
        "（完。）",
        "可以……",
        "好；",
        "Great!🎉 ",
        "**Bold.** ",
        "A fact.[1] ",
        "a line\n",
        "\n",
        "code:\n\n",
        "end.\n    ",
    ],
)
def test_ends(piece: str) -> None:
    """These end a sentence, or a line."""
    assert ends_sentence(piece)


@pytest.mark.parametrize(
    "piece", ["", " ", "word", "word ", "你好，", "e.g. ", "by Dr. ", "J. R. ", "1. ", "“世界”", "a: ", "x.y", "]"]
)
def test_goes_on(piece: str) -> None:
    """These do not."""
    assert not ends_sentence(piece)

"""Delivery schedule of an answer's chunks."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.chunking.sentence_boundaries import ends_sentence
from persona_stream.core.projection import MAX_DELIVERY_SECONDS, schedule_chunks


@pytest.mark.parametrize(
    ("chunks", "pause", "times"),
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
def test_chunks_are_due_after_their_pauses(chunks: list[str], pause: float, times: list[float]) -> None:
    """The first chunk is due at once, the others after their pauses, which are twice as long after a sentence."""
    assert schedule_chunks(chunks, pause) == times


def test_the_cap_can_be_set() -> None:
    """Pauses shrink to fit another cap."""
    assert schedule_chunks(["a", "b", "c"], 1.0, cap=1.0) == [0.0, 0.5, 1.0]
    assert schedule_chunks(["a", "b", "c"], 1.0, cap=0.0) == [0.0, 0.0, 0.0]


@given(
    st.lists(st.sampled_from(["word ", "end. ", "。", "\n", "e.g. "]), min_size=1, max_size=20),
    st.floats(0, 1e6),
    st.floats(0, 100),
)
def test_any_schedule_is_ordered_and_within_the_cap(chunks: list[str], pause: float, cap: float) -> None:
    """Each chunk has a due time, the times do not fall, and the last one is within the cap."""
    times = schedule_chunks(chunks, pause, cap)
    assert len(times) == len(chunks)
    assert times[0] == 0.0
    assert times == sorted(times)
    assert times[-1] <= cap


def test_a_long_answer_is_delivered_in_ten_seconds() -> None:
    """A thousand chunks take no longer than a hundred."""
    assert schedule_chunks(["word "] * 1000, 0.05)[-1] == MAX_DELIVERY_SECONDS == 10.0


@pytest.mark.parametrize(
    ("pause", "cap"), [(-0.1, 10.0), (math.nan, 10.0), (math.inf, 10.0), (0.1, -1.0), (0.1, math.nan)]
)
def test_an_invalid_pause_is_rejected(pause: float, cap: float) -> None:
    """Negative and infinite pauses raise ValueError."""
    with pytest.raises(ValueError, match="pause must be finite"):
        schedule_chunks(["a"], pause, cap)


@pytest.mark.parametrize(
    "chunk",
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
def test_these_texts_end_a_sentence(chunk: str) -> None:
    """The end of a line counts as well."""
    assert ends_sentence(chunk)


@pytest.mark.parametrize(
    "chunk", ["", " ", "word", "word ", "你好，", "e.g. ", "by Dr. ", "J. R. ", "1. ", "“世界”", "a: ", "x.y", "]"]
)
def test_these_texts_do_not_end_a_sentence(chunk: str) -> None:
    """Abbreviations, list numbers and commas end no sentence."""
    assert not ends_sentence(chunk)

"""The line of progress."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.client.progress_bar import ProgressState, line
from persona_stream.client.terminal import display_width
from persona_stream.client.texts import EN, ZH

KNOWN = ProgressState("正在检索相关信息...", 12.44, percent=37, left=21.2)


def test_a_bar_in_chinese() -> None:
    """Bar, percentage, elapsed, remaining, status."""
    assert line(KNOWN, 80, ZH, frame=3) == "⠸ ▰▰▰▰▰▱▱▱▱▱▱▱▱▱▱   37%  12.4秒  约剩 21秒  正在检索相关信息..."


def test_a_bar_in_english() -> None:
    """Over a minute, minutes are written; a bound is told from an estimate."""
    figures = ProgressState("Looking up what is relevant...", 128.0, percent=100, left=62.0, at_most=True)
    assert line(figures, 80, EN) == "⠋ ▰▰▰▰▰▰▰▰▰▰▰▰▰▰▰  100%  2:08  <1:02 left  Looking up what is relevant..."
    assert "1:02:05" in line(ProgressState("", 3725.0), 80, EN)


def test_a_bar_in_ascii() -> None:
    """For terminals that have no other signs."""
    assert line(ProgressState("Working...", 3.0, 50), 50, EN, unicode=False) == "| ####.....   50%  3.0s  Working..."


def test_without_a_percentage_a_block_wanders() -> None:
    """It shows that there is life."""
    frames = [line(ProgressState("x", 0.0), 80, EN, frame=frame).split("  ")[0][2:] for frame in range(15)]
    assert len(set(frames)) == 15
    assert {(frame.count("▰"), len(frame)) for frame in frames} == {(3, 15)}


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (60, "⠋ ▰▰▰▰▱▱▱▱▱▱▱   37%  12.4秒  约剩 21秒  正在检索相关信息..."),
        (45, "⠋   37%  12.4秒  约剩 21秒  正在检索相关..."),
        (30, "⠋   37%  12.4秒  约剩 21秒"),
        (12, " 37%"),
        (4, ""),
    ],
)
def test_a_narrow_terminal_leaves_out_the_rest_first(width: int, shown: str) -> None:
    """The end of the message, the bar, the message, the times; the percentage is last."""
    assert line(KNOWN, width, ZH) == shown


@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs"])),
    st.floats(0, 1e9),
    st.none() | st.floats(0, 1e9),
    st.none() | st.floats(0, 1e9),
    st.integers(1, 300),
    st.integers(0, 1000),
    st.booleans(),
)
def test_a_line_never_wraps(
    message: str, elapsed: float, percent: float | None, left: float | None, width: int, frame: int, flag: bool
) -> None:
    """Whatever the figures and the terminal, the last column stays free."""
    figures = ProgressState(message, elapsed, percent, left, at_most=flag)
    for texts in (EN, ZH):
        assert display_width(line(figures, width, texts, unicode=flag, frame=frame)) < width

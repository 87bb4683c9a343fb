"""Layout of the progress line."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from persona_stream.client.renderers import ProgressState, render_line
from tests.client.fakes import EN, ZH

STATE = ProgressState("正在检索相关信息...", 12.44, percent=37, left=21.2)


def test_the_line_has_bar_percentage_times_and_message() -> None:
    """In Chinese, with an estimate."""
    line = render_line(STATE, 80, ZH, frame=3).plain
    assert line == "⠸ ▰▰▰▰▰▱▱▱▱▱▱▱▱▱▱   37%  12.4秒  约剩 20秒  正在检索相关信息..."


def test_times_over_a_minute_are_written_in_minutes() -> None:
    """A deadline is distinguished from an estimate."""
    state = ProgressState("Looking up what is relevant...", 128.0, percent=100, left=62.0, is_limit=True)
    line = render_line(state, 80, EN).plain
    assert line == "⠋ ▰▰▰▰▰▰▰▰▰▰▰▰▰▰▰  100%  2:08  <1:02 left  Looking up what is relevant..."
    assert "1:02:05" in render_line(ProgressState("", 3725.0), 80, EN).plain


@pytest.mark.parametrize(
    ("left", "shown"),
    [(0.2, "~1s"), (7.4, "~7s"), (12.6, "~15s"), (57.4, "~55s"), (59.0, "~1-2min"), (130.0, "~2-3min")],
)
def test_an_estimate_is_shown_no_more_exactly_than_it_is_known(left: float, shown: str) -> None:
    """To five seconds, and then as a range of minutes."""
    assert f"  {shown} left" in render_line(ProgressState("", 1.0, 50, left), 80, EN).plain


def test_a_bar_can_be_drawn_in_ascii() -> None:
    """For terminals without other glyphs."""
    line = render_line(ProgressState("Working...", 3.0, 50), 50, EN, ascii_only=True).plain
    assert line == "| ####.....   50%  3.0s  Working..."


def test_without_a_percentage_a_block_moves() -> None:
    """Every frame differs from the one before."""
    frames = [render_line(ProgressState("x", 0.0), 80, EN, frame=frame).plain.split("  ")[0][2:] for frame in range(15)]
    assert len(set(frames)) == 15
    assert {(frame.count("▰"), len(frame)) for frame in frames} == {(3, 15)}


def test_a_message_is_not_parsed_as_markup() -> None:
    """It comes from a backend."""
    line = render_line(ProgressState("[red]50%[/red] {x}", 1.0), 80, EN)
    assert line.plain.endswith("[red]50%[/red] {x}")


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (60, "⠋ ▰▰▰▰▱▱▱▱▱▱▱   37%  12.4秒  约剩 20秒  正在检索相关信息..."),
        (45, "⠋   37%  12.4秒  约剩 20秒  正在检索相关..."),
        (30, "⠋   37%  12.4秒  约剩 20秒"),
        (12, " 37%"),
        (4, ""),
    ],
)
def test_a_narrow_line_keeps_the_percentage_longest(width: int, shown: str) -> None:
    """It loses the end of the message, the bar, the message, and then the times."""
    assert render_line(STATE, width, ZH).plain == shown


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
    """For any values and any width, the last column stays free."""
    state = ProgressState(message, elapsed, percent, left, is_limit=flag)
    for texts in (EN, ZH):
        line = render_line(state, width, texts, ascii_only=flag, frame=frame)
        assert cell_len(line.plain) < width


@given(st.text("正在检索한국カナabc ,，。1"), st.integers(1, 120))
def test_wide_characters_take_two_columns(message: str, width: int) -> None:
    """By Unicode's own table; a wide character is never split."""
    line = render_line(ProgressState(message, 1.0, 50), width, ZH).plain
    columns = sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)
    assert columns < width
    assert "\ufffd" not in line

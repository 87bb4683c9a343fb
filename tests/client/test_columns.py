"""The width of text on a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.client.terminal import clip, columns


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("", 0),
        ("abc", 3),
        ("你好", 4),
        ("正在检索相关信息...", 19),
        ("，。！", 6),
        ("한국", 4),
        ("ｶﾅ", 2),
        ("e\u0301", 1),
        ("👍", 2),
        ("❤️", 2),
        ("\u200b", 0),
        ("⠋▰▱", 3),
    ],
)
def test_the_columns_of_a_text(text: str, width: int) -> None:
    """Chinese, Korean and emoji take two, combining marks none."""
    assert columns(text) == width


@pytest.mark.parametrize(
    ("text", "room", "clipped"),
    [
        ("hello", 5, "hello"),
        ("hello there", 8, "hello..."),
        ("hello there", 9, "hello..."),
        ("正在检索相关信息", 16, "正在检索相关信息"),
        ("正在检索相关信息", 11, "正在检索..."),
        ("正在检索相关信息", 10, "正在检..."),
        ("hello", 4, "h..."),
        ("hello", 3, ""),
        ("hello", -7, ""),
    ],
)
def test_what_does_not_fit_is_clipped(text: str, room: int, clipped: str) -> None:
    """A wide character is never cut in half."""
    assert clip(text, room) == clipped


@given(st.text(), st.integers(0, 60))
def test_a_clipped_text_fits(text: str, room: int) -> None:
    """Into any room."""
    assert columns(clip(text, room)) <= room

"""What a stream understands.

The width of text on a terminal.

Text from outside, made harmless.
"""

from __future__ import annotations

import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.client.terminal import (
    Terminal,
    detect_terminal,
    display_width,
    sanitize,
    sanitize_json,
    sanitize_line,
    truncate,
)
from tests.client.fakes import FakeTerminal

XTERM = {"TERM": "xterm-256color"}


def test_a_terminal_can_everything() -> None:
    """Redraw, colours, and all the signs."""
    found = detect_terminal(FakeTerminal(), XTERM)
    assert (found.is_terminal, found.can_redraw, found.colour, found.unicode) == (True, True, True, True)


def test_a_pipe_can_nothing() -> None:
    """A file shall have no escapes in it."""
    found = detect_terminal(io.TextIOWrapper(io.BytesIO(), "utf-8"), XTERM)
    assert (found.is_terminal, found.can_redraw, found.colour) == (False, False, False)


@pytest.mark.parametrize("environ", [{}, {"TERM": ""}, {"TERM": "dumb"}], ids=["unset", "empty", "dumb"])
def test_a_dumb_terminal_cannot_redraw(environ: dict[str, str]) -> None:
    """It is a terminal all the same."""
    found = detect_terminal(FakeTerminal(), environ)
    assert (found.is_terminal, found.can_redraw, found.colour) == (True, False, False)


@pytest.mark.parametrize(("value", "colour"), [("1", False), ("0", False), ("", True)])
def test_no_color_is_respected(value: str, colour: bool) -> None:
    """Any value that is not empty means no; the bar stays."""
    found = detect_terminal(FakeTerminal(), {**XTERM, "NO_COLOR": value})
    assert (found.colour, found.can_redraw) == (colour, True)
    assert ("\x1b" in found.style("x", "36")) is colour


@pytest.mark.parametrize(
    ("value", "width"), [("40", 40), ("0", 80), ("-1", 80), ("wide", 80), ("", 80), ("٤", 80), ("9" * 5000, 80)]
)
def test_columns_beats_the_terminal(value: str, width: int) -> None:
    """If it is a sensible number; a stream that cannot tell has eighty."""
    assert detect_terminal(FakeTerminal(), {**XTERM, "COLUMNS": value}).width() == width


def test_the_console_of_linux_gets_ascii() -> None:
    """Its font has few signs."""
    assert not detect_terminal(FakeTerminal(), {"TERM": "linux"}).unicode


def test_an_encoding_without_the_character_gets_a_question_mark() -> None:
    """Rather than an error in the middle of an answer."""
    raw = io.BytesIO()
    found = detect_terminal(io.TextIOWrapper(raw, "latin-1"), XTERM)
    found.write("é你")
    assert raw.getvalue() == b"\xe9?"
    assert (found.is_utf8, found.unicode) == (False, False)


def test_a_closed_stream_swallows() -> None:
    """`2>&-` is a way to say that nobody wants to know."""
    found = detect_terminal(None, XTERM)
    found.write("x")
    assert found == Terminal(None)
    assert found.width() == 80


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
    assert display_width(text) == width


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
    assert truncate(text, room) == clipped


@given(st.text(), st.integers(0, 60))
def test_a_clipped_text_fits(text: str, room: int) -> None:
    """Into any room."""
    assert display_width(truncate(text, room)) <= room


FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
ANYTHING = st.text(st.characters() | st.characters(max_codepoint=0xA0) | st.characters(categories=["Cs", "Cf"]))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\x9b2J", "<U+009B>2J"),
        ("a\rb", "a␍b"),
        ("a\r\nb", "a\nb"),
        ("abc\b\b\bxyz", "abc␈␈␈xyz"),
        ("\x7f\x00", "␡␀"),
        ("user\u202etxt.exe", "user<U+202E>txt.exe"),
        ("\u2066x\u2069", "<U+2066>x<U+2069>"),
        ("\x85", "<U+0085>"),
        ("\ud83d", "\ufffd"),
    ],
)
def test_what_is_dangerous_becomes_visible(text: str, shown: str) -> None:
    """Nothing vanishes: who looks can see what was sent."""
    assert sanitize(text) == shown


@pytest.mark.parametrize(
    "text", ["tab\there\nand there", "你好，世界", "👩‍👩‍👧 ❤️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "שלום\u200fעולם", "e\u0301", "क्ष"]
)
def test_what_is_harmless_is_left_alone(text: str) -> None:
    """Newlines, tabs, emoji and every script pass."""
    assert sanitize(text) == text


@given(ANYTHING)
def test_nothing_dangerous_comes_through(text: str) -> None:
    """Whatever goes in; and doing it twice changes nothing."""
    once = sanitize(text)
    assert not FORBIDDEN.search(once)
    assert sanitize(once) == once


@given(ANYTHING)
def test_one_line_is_one_line(text: str) -> None:
    """No break of any kind is left in a status."""
    assert len(sanitize_line(text).splitlines()) <= 1
    assert not FORBIDDEN.search(sanitize_line(text))


@given(st.dictionaries(ANYTHING, ANYTHING))
def test_harmless_json_means_the_same(value: dict[str, str]) -> None:
    """The escapes are read back as what was there, and a line stays a line."""
    shown = sanitize_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(shown) == value
    assert not FORBIDDEN.search(shown)
    assert len(shown.splitlines()) == 1

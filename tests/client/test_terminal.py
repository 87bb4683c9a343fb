"""Terminal capabilities, display width, and sanitising."""

from __future__ import annotations

import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.client.terminal import Terminal, display_width, sanitize, sanitize_json, sanitize_line, truncate
from tests.client.fakes import FakeTerminal

XTERM = {"TERM": "xterm-256color"}


def test_a_terminal_can_redraw_and_has_colours_and_glyphs() -> None:
    """All capabilities of an ordinary terminal emulator are used."""
    terminal = Terminal(FakeTerminal(), XTERM)
    assert (terminal.is_terminal, terminal.is_interactive, terminal.options.ascii_only) == (True, True, False)
    terminal.write("x", "cyan")
    assert terminal.file.getvalue() == "\x1b[36mx\x1b[0m"  # type: ignore[attr-defined]  # a StringIO


@pytest.mark.parametrize("environ", [{}, {"FORCE_COLOR": "1"}, {"TTY_COMPATIBLE": "1"}])
def test_a_pipe_gets_no_escape_sequences(environ: dict[str, str]) -> None:
    """Not even with the variables that make rich treat a pipe as a terminal."""
    raw = io.BytesIO()
    terminal = Terminal(io.TextIOWrapper(raw, "utf-8"), {**XTERM, **environ})
    assert (terminal.is_terminal, terminal.is_interactive) == (False, False)
    terminal.write("x", "cyan")
    assert raw.getvalue() == b"x"


@pytest.mark.parametrize("environ", [{}, {"TERM": ""}, {"TERM": "dumb"}], ids=["unset", "empty", "dumb"])
def test_a_dumb_terminal_can_neither_redraw_nor_colour(environ: dict[str, str]) -> None:
    """It is a terminal all the same."""
    terminal = Terminal(FakeTerminal(), environ)
    assert (terminal.is_terminal, terminal.is_interactive) == (True, False)
    terminal.write("x", "cyan")
    assert terminal.file.getvalue() == "x"  # type: ignore[attr-defined]  # a StringIO


@pytest.mark.parametrize(("value", "colour"), [("1", False), ("0", False), ("", True)])
def test_no_color_turns_colours_off_and_leaves_the_bar(value: str, colour: bool) -> None:
    """Any value but the empty one counts (https://no-color.org)."""
    terminal = Terminal(FakeTerminal(), {**XTERM, "NO_COLOR": value})
    assert terminal.is_interactive
    terminal.write("x", "cyan")
    assert ("\x1b" in terminal.file.getvalue()) is colour  # type: ignore[attr-defined]  # a StringIO


@pytest.mark.parametrize(
    ("value", "width"), [("40", 40), ("0", 80), ("-1", 80), ("wide", 80), ("", 80), ("٤", 80), ("9" * 5000, 80)]
)
def test_columns_overrides_the_width_of_the_terminal(value: str, width: int) -> None:
    """Unless it is no sensible number; the default is 80."""
    assert Terminal(FakeTerminal(), {**XTERM, "COLUMNS": value}).width == width


def test_the_linux_console_gets_ascii_glyphs() -> None:
    """Its font has few others; text is still UTF-8."""
    terminal = Terminal(FakeTerminal(), {"TERM": "linux"})
    assert (terminal.options.ascii_only, terminal.is_utf8) == (True, True)


def test_a_character_that_the_encoding_lacks_becomes_a_question_mark() -> None:
    """An error would cut the answer short."""
    raw = io.BytesIO()
    terminal = Terminal(io.TextIOWrapper(raw, "latin-1"), XTERM)
    terminal.write("é你")
    assert raw.getvalue() == b"\xe9?"
    assert (terminal.is_utf8, terminal.options.ascii_only) == (False, True)


def test_a_closed_stream_discards_text() -> None:
    """The shell closes it with ``2>&-``."""
    terminal = Terminal(None, XTERM)
    terminal.write("x")
    assert (terminal.is_terminal, terminal.is_interactive) == (False, False)


def test_text_is_neither_parsed_as_markup_nor_wrapped_nor_expanded() -> None:
    """An answer is written as it is."""
    terminal = Terminal(FakeTerminal(), {**XTERM, "COLUMNS": "10"})
    text = "[bold]a\tb[/bold] :smile: 12345678901234567890"
    terminal.write(text)
    assert terminal.file.getvalue() == text  # type: ignore[attr-defined]  # a StringIO


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
def test_display_width_counts_columns(text: str, width: int) -> None:
    """Chinese, Korean and emoji take two, combining marks none."""
    assert display_width(text) == width


@pytest.mark.parametrize(
    ("text", "columns", "truncated"),
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
def test_a_long_text_is_truncated(text: str, columns: int, truncated: str) -> None:
    """A wide character is never split."""
    assert truncate(text, columns) == truncated


@given(st.text(), st.integers(0, 60))
def test_a_truncated_text_fits(text: str, columns: int) -> None:
    """Into any number of columns."""
    assert display_width(truncate(text, columns)) <= columns


FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
ANY_TEXT = st.text(st.characters() | st.characters(max_codepoint=0xA0) | st.characters(categories=["Cs", "Cf"]))


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
def test_dangerous_characters_become_visible(text: str, shown: str) -> None:
    """None is dropped, so that the reader sees what was sent."""
    assert sanitize(text) == shown


@pytest.mark.parametrize(
    "text", ["tab\there\nand there", "你好，世界", "👩‍👩‍👧 ❤️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "שלום\u200fעולם", "e\u0301", "क्ष"]
)
def test_harmless_text_is_unchanged(text: str) -> None:
    """Newlines, tabs, emoji and every script pass."""
    assert sanitize(text) == text


@given(ANY_TEXT)
def test_sanitised_text_has_no_dangerous_characters(text: str) -> None:
    """For any input; sanitising again changes nothing."""
    once = sanitize(text)
    assert not FORBIDDEN.search(once)
    assert sanitize(once) == once


@given(ANY_TEXT)
def test_a_sanitised_line_is_one_line(text: str) -> None:
    """No kind of line break is left."""
    assert len(sanitize_line(text).splitlines()) <= 1
    assert not FORBIDDEN.search(sanitize_line(text))


@given(st.dictionaries(ANY_TEXT, ANY_TEXT))
def test_sanitised_json_has_the_same_value(value: dict[str, str]) -> None:
    """The escapes are read back as the characters, and the line stays one line."""
    shown = sanitize_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(shown) == value
    assert not FORBIDDEN.search(shown)
    assert len(shown.splitlines()) == 1

"""Terminal capabilities."""

from __future__ import annotations

import io

import pytest

from persona_stream.client.terminal import Terminal
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

"""What a stream understands."""

from __future__ import annotations

import io

import pytest

from persona_stream.client.terminal import Screen, look_at
from tests.client.fakes import Terminal

XTERM = {"TERM": "xterm-256color"}


def test_a_terminal_can_everything() -> None:
    """Redraw, colours, and all the signs."""
    found = look_at(Terminal(), XTERM)
    assert (found.is_terminal, found.can_redraw, found.colour, found.unicode) == (True, True, True, True)


def test_a_pipe_can_nothing() -> None:
    """A file shall have no escapes in it."""
    found = look_at(io.TextIOWrapper(io.BytesIO(), "utf-8"), XTERM)
    assert (found.is_terminal, found.can_redraw, found.colour) == (False, False, False)


@pytest.mark.parametrize("environ", [{}, {"TERM": ""}, {"TERM": "dumb"}], ids=["unset", "empty", "dumb"])
def test_a_dumb_terminal_cannot_redraw(environ: dict[str, str]) -> None:
    """It is a terminal all the same."""
    found = look_at(Terminal(), environ)
    assert (found.is_terminal, found.can_redraw, found.colour) == (True, False, False)


@pytest.mark.parametrize(("value", "colour"), [("1", False), ("0", False), ("", True)])
def test_no_color_is_respected(value: str, colour: bool) -> None:
    """Any value that is not empty means no; the bar stays."""
    found = look_at(Terminal(), {**XTERM, "NO_COLOR": value})
    assert (found.colour, found.can_redraw) == (colour, True)
    assert ("\x1b" in found.paint("x", "36")) is colour


@pytest.mark.parametrize(
    ("value", "width"), [("40", 40), ("0", 80), ("-1", 80), ("wide", 80), ("", 80), ("٤", 80), ("9" * 5000, 80)]
)
def test_columns_beats_the_terminal(value: str, width: int) -> None:
    """If it is a sensible number; a stream that cannot tell has eighty."""
    assert look_at(Terminal(), {**XTERM, "COLUMNS": value}).width() == width


def test_the_console_of_linux_gets_ascii() -> None:
    """Its font has few signs."""
    assert not look_at(Terminal(), {"TERM": "linux"}).unicode


def test_an_encoding_without_the_character_gets_a_question_mark() -> None:
    """Rather than an error in the middle of an answer."""
    raw = io.BytesIO()
    found = look_at(io.TextIOWrapper(raw, "latin-1"), XTERM)
    found.write("é你")
    assert raw.getvalue() == b"\xe9?"
    assert (found.is_utf8, found.unicode) == (False, False)


def test_a_closed_stream_swallows() -> None:
    """`2>&-` is a way to say that nobody wants to know."""
    found = look_at(None, XTERM)
    found.write("x")
    assert found == Screen(None)
    assert found.width() == 80

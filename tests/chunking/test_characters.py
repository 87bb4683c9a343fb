"""Pieces of 20 characters."""

from __future__ import annotations

import pytest

from persona_stream.chunking.chunkers import characters


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("short", ["short"]),
        ("x" * 20, ["x" * 20]),
        ("x" * 21, ["x" * 20, "x"]),
        ("中" * 45, ["中" * 20, "中" * 20, "中" * 5]),
        # A cluster that straddles the size goes whole into the next piece.
        ("x" * 19 + "e\u0301" + "y" * 20, ["x" * 19, "e\u0301" + "y" * 18, "yy"]),
        ("x" * 19 + "\r\n" + "y" * 3, ["x" * 19, "\r\nyyy"]),
        ("x" * 19 + "👨‍👩‍👧‍👦" + "y" * 13, ["x" * 19, "👨‍👩‍👧‍👦" + "y" * 13]),
        ("🇩🇪" * 15 + "x", ["🇩🇪" * 10, "🇩🇪" * 5 + "x"]),
        ("x" + "🇩🇪" * 15, ["x" + "🇩🇪" * 9, "🇩🇪" * 6]),
        # One that is longer than the size is a piece of its own.
        ("abc" + "e" + "\u0301" * 30 + "xyz", ["abc", "e" + "\u0301" * 30, "xyz"]),
        ("e" + "\u0301" * 30, ["e" + "\u0301" * 30]),
    ],
)
def test_pieces(text: str, pieces: list[str]) -> None:
    """The pieces are these."""
    assert characters(text) == pieces


@pytest.mark.parametrize("letter", ["x", "中"])
def test_size_grows(letter: str) -> None:
    """Over 20,000 characters the pieces grow, all alike, and there are 1,000."""
    assert [len(piece) for piece in characters(letter * 20_000)] == [20] * 1000
    assert [len(piece) for piece in characters(letter * 42_000)] == [42] * 1000

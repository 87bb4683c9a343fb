"""Pieces of one size."""

from __future__ import annotations

from persona_stream.chunking.graphemes import around
from persona_stream.chunking.law import MAX_PIECES, cut

SIZE = 20


def characters(text: str) -> list[str]:
    """Cut the text into pieces of 20 characters; of more, when there would be over 1,000 of them.

    A grapheme cluster that straddles the size goes whole into the next piece; one that is longer than the
    size is a piece of its own.
    """
    size = max(SIZE, -(-len(text) // MAX_PIECES))
    # Nothing joins in ASCII but CR LF.
    if text.isascii() and "\r" not in text:
        return [text[start : start + size] for start in range(0, len(text), size)]

    def choose(start: int, least: int) -> int:
        before, after = around(text, start, start + size)
        return before if before >= least else after

    return cut(text, choose)

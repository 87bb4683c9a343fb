"""The law of chunking, and the two who keep it.

The pieces joined are the text, to the character. No piece is empty. None ends inside a grapheme cluster.
There are at most ``MAX_PIECES``.

``cut`` keeps it for a chunker that chooses places in the text; ``lawful`` keeps it for one that makes its
pieces by itself, and that we did not write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from persona_stream.chunking.graphemes import next_boundary

MAX_CHUNKS = 1000

Chunker = Callable[[str], Iterable[str]]
"""Gives the pieces of a text, in order. It has the whole text, and may take its time to yield."""

EndChooser = Callable[[int, int], int]
"""Given where a piece begins, and the least index where it may end, says where it ends."""


def split_at(text: str, choose: EndChooser) -> list[str]:
    """Cut the text where ``choose`` says.

    Every piece, but perhaps the last, has a ``MAX_PIECES``-th of the text or more, so there are never too many.
    """
    length = len(text)
    share = -(-length // MAX_CHUNKS)
    pieces = []
    start = 0
    while start < length:
        end = choose(start, min(start + share, length))
        pieces.append(text[start:end])
        start = end
    return pieces


def enforce_invariants(name: str, chunker: Chunker) -> Callable[[str], list[str]]:
    """Give a chunker that cuts where the given one does, as far as the law permits.

    It raises ValueError when the given one's pieces, joined, are not the text.
    """

    def chunk(text: str) -> list[str]:
        ends = _ends(name, chunker, text)
        upcoming = iter(ends)

        def choose(start: int, least: int) -> int:
            return next_boundary(text, start, next(end for end in upcoming if end >= least))

        return split_at(text, choose)

    return chunk


def _ends(name: str, chunker: Chunker, text: str) -> list[int]:
    """Say where the pieces end, and hold each against the text as it comes: a wrong chunker may never stop."""
    ends = []
    at = 0
    for piece in chunker(text):
        if not isinstance(piece, str) or not text.startswith(piece, at):
            raise ValueError(f"the chunker {name!r} changed the text at character {at}: its pieces must join to it")
        at += len(piece)
        ends.append(at)
    if at < len(text):
        raise ValueError(f"the chunker {name!r} lost the text from character {at} on: its pieces must join to it")
    return ends

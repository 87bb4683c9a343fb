"""Pieces of whole sentences."""

from __future__ import annotations

from persona_stream.chunking.law import cut
from persona_stream.chunking.places import Places


def sentences(text: str) -> list[str]:
    """Cut the text into its sentences; into groups of them, when there would be over 1,000.

    Blanks go with the sentence before them, and each line of a list, a poem or a program is one.
    """
    places = Places(text)

    def choose(start: int, least: int) -> int:
        if places.masked[start].isspace():
            least = places.solid_end(start, least)
        return places.settle(start, least, places.sentence_end(least))

    return cut(text, choose)

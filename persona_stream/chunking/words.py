"""Pieces of whole words."""

from __future__ import annotations

from persona_stream.chunking.law import cut
from persona_stream.chunking.places import Places

SIZE = 20
# How much longer a piece may be, where words have no spaces between them, to end with its phrase or sentence.
_NEAR = 10


def words(text: str) -> list[str]:
    """Cut the text into pieces of whole words, each until it has 20 characters, or until its sentence ends.

    Sizes grow when there would be over 1,000 pieces. Blanks go with the word before them.
    """
    places = Places(text)

    def choose(start: int, least: int) -> int:
        if places.masked[start].isspace():
            least = places.solid_end(start, least)
        enough = start + SIZE
        if enough < least:
            enough = least
        end = places.sentence_end(least)
        if end > enough:
            word_end = places.phrase_end(enough, _NEAR) if places.wide else places.word_end(enough)
            if word_end < end:
                end = word_end
        return places.settle(start, least, end)

    return cut(text, choose)

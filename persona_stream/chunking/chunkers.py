"""Pieces of one size.

Pieces of whole words.

Pieces of whole sentences.
"""

from __future__ import annotations

from persona_stream.chunking.base import MAX_CHUNKS, split_at
from persona_stream.chunking.boundaries import BoundaryFinder
from persona_stream.chunking.graphemes import enclosing_boundaries

SIZE = 20


def characters(text: str) -> list[str]:
    """Cut the text into pieces of 20 characters; of more, when there would be over 1,000 of them.

    A grapheme cluster that straddles the size goes whole into the next piece; one that is longer than the
    size is a piece of its own.
    """
    size = max(SIZE, -(-len(text) // MAX_CHUNKS))
    # Nothing joins in ASCII but CR LF.
    if text.isascii() and "\r" not in text:
        return [text[start : start + size] for start in range(0, len(text), size)]

    def choose(start: int, least: int) -> int:
        before, after = enclosing_boundaries(text, start, start + size)
        return before if before >= least else after

    return split_at(text, choose)


WORDS_SIZE = 20
# How much longer a piece may be, where words have no spaces between them, to end with its phrase or sentence.
_NEAR = 10


def words(text: str) -> list[str]:
    """Cut the text into pieces of whole words, each until it has 20 characters, or until its sentence ends.

    Sizes grow when there would be over 1,000 pieces. Blanks go with the word before them.
    """
    places = BoundaryFinder(text)

    def choose(start: int, least: int) -> int:
        if places.masked[start].isspace():
            least = places.min_visible_end(start, least)
        enough = start + WORDS_SIZE
        if enough < least:
            enough = least
        end = places.sentence_end(least)
        if end > enough:
            word_end = places.phrase_end(enough, _NEAR) if places.wide else places.word_end(enough)
            if word_end < end:
                end = word_end
        return places.adjust(start, least, end)

    return split_at(text, choose)


def sentences(text: str) -> list[str]:
    """Cut the text into its sentences; into groups of them, when there would be over 1,000.

    Blanks go with the sentence before them, and each line of a list, a poem or a program is one.
    """
    places = BoundaryFinder(text)

    def choose(start: int, least: int) -> int:
        if places.masked[start].isspace():
            least = places.min_visible_end(start, least)
        return places.adjust(start, least, places.sentence_end(least))

    return split_at(text, choose)

"""Pieces of one size.

Pieces of whole words.

Pieces of whole sentences.
"""

from __future__ import annotations

from persona_stream.chunking.base import MAX_PIECES, cut
from persona_stream.chunking.boundaries import Places
from persona_stream.chunking.graphemes import around

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


WORDS_SIZE = 20
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
        enough = start + WORDS_SIZE
        if enough < least:
            enough = least
        end = places.sentence_end(least)
        if end > enough:
            word_end = places.phrase_end(enough, _NEAR) if places.wide else places.word_end(enough)
            if word_end < end:
                end = word_end
        return places.settle(start, least, end)

    return cut(text, choose)


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

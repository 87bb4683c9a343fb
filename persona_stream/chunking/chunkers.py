"""Bundled chunkers: fixed size, whole words, whole sentences."""

from __future__ import annotations

from persona_stream.chunking.base import MAX_CHUNKS, split_at
from persona_stream.chunking.boundaries import BoundaryFinder
from persona_stream.chunking.graphemes import enclosing_boundaries

CHUNK_SIZE = 20  # characters


def characters(text: str) -> list[str]:
    """Split the text into chunks of 20 characters, or larger ones if there were more than 1,000.

    A grapheme cluster at the end of a chunk goes into the next one; a cluster above the size is a chunk of its own.
    """
    size = max(CHUNK_SIZE, -(-len(text) // MAX_CHUNKS))
    if text.isascii() and "\r" not in text:  # the only cluster in ASCII is CR LF
        return [text[start : start + size] for start in range(0, len(text), size)]

    def choose(start: int, min_end: int) -> int:
        before, after = enclosing_boundaries(text, start, start + size)
        return before if before >= min_end else after

    return split_at(text, choose)


def words(text: str) -> list[str]:
    """Split the text into chunks of whole words that have 20 characters or end with their sentence.

    Sizes grow if there were more than 1,000 chunks. Whitespace belongs to the word before it.
    """
    finder = BoundaryFinder(text)

    def choose(start: int, min_end: int) -> int:
        min_end = finder.min_visible_end(start, min_end)
        end = finder.sentence_end(min_end)
        target = max(start + CHUNK_SIZE, min_end)
        if end > target:
            end = min(end, finder.word_end(target))
        return finder.adjust(start, min_end, end)

    return split_at(text, choose)


def sentences(text: str) -> list[str]:
    """Split the text into its sentences, or groups of them if there were more than 1,000.

    Whitespace belongs to the sentence before it; a line of a list, a poem or a program counts as a sentence.
    """
    finder = BoundaryFinder(text)

    def choose(start: int, min_end: int) -> int:
        min_end = finder.min_visible_end(start, min_end)
        return finder.adjust(start, min_end, finder.sentence_end(min_end))

    return split_at(text, choose)

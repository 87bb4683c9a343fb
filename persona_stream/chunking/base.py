"""Contract of chunkers and its enforcement.

Invariants:
    The concatenated chunks are the text, to the character.
    No chunk is empty, and none ends inside a grapheme cluster.
    There are at most ``MAX_CHUNKS`` chunks.

``split_at`` fulfils them for a chunker that chooses boundaries; ``enforce_invariants`` wraps a custom chunker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from persona_stream.chunking.graphemes import next_boundary

MAX_CHUNKS = 1000

Chunker = Callable[[str], Iterable[str]]
"""Returns the chunks of a text, in order."""

EndChooser = Callable[[int, int], int]
"""Returns the end of the chunk that starts at the first index; the second one is the smallest allowed end."""


def split_at(text: str, choose: EndChooser) -> list[str]:
    """Split the text at the chosen ends. Each chunk but the last has at least a ``MAX_CHUNKS``-th of the text."""
    length = len(text)
    min_size = -(-length // MAX_CHUNKS)
    chunks = []
    start = 0
    while start < length:
        end = choose(start, min(start + min_size, length))
        chunks.append(text[start:end])
        start = end
    return chunks


def enforce_invariants(name: str, chunker: Chunker) -> Callable[[str], list[str]]:
    """Wrap a custom chunker: keep its boundaries where the invariants allow it; reject chunks that change the text."""

    def chunk(text: str) -> list[str]:
        ends = iter(_chunk_ends(name, chunker, text))

        def choose(start: int, min_end: int) -> int:
            return next_boundary(text, start, next(end for end in ends if end >= min_end))

        return split_at(text, choose)

    return chunk


def _chunk_ends(name: str, chunker: Chunker, text: str) -> list[int]:
    # Each chunk is compared as it is produced, because a faulty chunker may never stop.
    ends = []
    at = 0
    for chunk in chunker(text):
        if not isinstance(chunk, str) or not text.startswith(chunk, at):
            raise ValueError(f"the chunker {name!r} changed the text at character {at}: its chunks must join to it")
        at += len(chunk)
        ends.append(at)
    if at < len(text):
        raise ValueError(f"the chunker {name!r} dropped the text after character {at}: its chunks must join to it")
    return ends

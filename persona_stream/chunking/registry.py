"""Registry of chunkers by name.

A chunker is a function from a text to its chunks. Applications register their own beside the three bundled ones::

    from persona_stream import chunking

    chunking.register("lines", lambda text: text.splitlines(keepends=True))

Invariants, which are enforced for custom chunkers:
    The concatenated chunks are the text, to the character.
    No chunk is empty, and none ends inside a grapheme cluster.
    There are at most ``MAX_CHUNKS`` chunks.
"""

import re
from collections.abc import Callable, Iterable
from functools import partial

from persona_stream.chunking.chunkers import CHUNK_SIZE, characters, sentences, split_at, words
from persona_stream.chunking.graphemes import next_boundary

Chunker = Callable[[str], Iterable[str]]
"""Returns the chunks of a text, in order."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")

_chunkers: dict[str, Callable[[str], list[str]]] = {"characters": characters, "words": words, "sentences": sentences}


_SIZED: dict[str, Callable[..., list[str]]] = {"characters": characters, "words": words}


class UnknownChunker(KeyError):
    """Name without a registered chunker."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would return the quoted repr


def register(name: str, chunker: Chunker) -> None:
    """Register a chunker under a name that requests may use.

    The invariants of chunking are enforced: empty chunks, chunks that end inside a grapheme cluster, and excess chunks
    are merged with their neighbours.

    Args:
        name: 1 to 64 characters of ``a-z 0-9 _ -``, starting with a letter.
        chunker: returns the chunks of a text, in order. If their concatenation is not the text, chunking raises
            ``ValueError``.

    Raises:
        ValueError: the name is invalid or already registered.
        TypeError: the chunker is not callable.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"invalid chunker name {name!r}: use 1 to 64 characters of a-z 0-9 _ -, starting with a letter"
        )
    if name in _chunkers:
        raise ValueError(f"the chunker {name!r} is already registered")
    if not callable(chunker):
        raise TypeError(f"the chunker {name!r} must be callable, not {type(chunker).__name__}")
    _chunkers[name] = enforce_invariants(name, chunker)


def get_chunker(name: str, size: int = CHUNK_SIZE) -> Callable[[str], list[str]]:
    """Return the chunker of this name; its result fulfils the invariants of chunking.

    ``size``, in characters, is for the chunkers ``characters`` and ``words``; others choose their own.

    Raises:
        UnknownChunker: no chunker has this name.
    """
    try:
        return partial(_SIZED[name], size=size) if size != CHUNK_SIZE and name in _SIZED else _chunkers[name]
    except KeyError:
        raise UnknownChunker(f"unknown chunker {name!r}: use one of {', '.join(names())}") from None


def names() -> tuple[str, ...]:
    """Return the names of all chunkers in the order of their registration."""
    return tuple(_chunkers)


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

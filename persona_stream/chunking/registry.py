"""How an answer is cut into the pieces that a reader gets one after the other.

A chunker is any function from a text to its pieces. Yours goes beside the three that ship::

    from persona_stream import chunking

    chunking.register("lines", lambda text: text.splitlines(keepends=True))

The whole answer is known before it is cut, so a chunker may look at all of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from persona_stream.chunking.base import MAX_CHUNKS, Chunker, enforce_invariants
from persona_stream.chunking.chunkers import characters, sentences, words

__all__ = [
    "MAX_CHUNKS",
    "Chunker",
    "UnknownChunker",
    "characters",
    "get_chunker",
    "names",
    "register",
    "sentences",
    "words",
]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")

_chunkers: dict[str, Callable[[str], list[str]]] = {"characters": characters, "words": words, "sentences": sentences}


class UnknownChunker(KeyError):
    """Say that no chunker has this name, and which names there are."""

    def __str__(self) -> str:
        # KeyError shows the quoted repr of its argument.
        return str(self.args[0])


def register(name: str, chunker: Chunker) -> None:
    """Add a chunker under a name that requests may use.

    The law of chunking is kept for it: pieces that are empty, that end inside a grapheme cluster, or that are
    too many, are joined to their neighbours.

    Args:
        name: 1 to 64 characters of ``a-z 0-9 _ -``, the first a letter.
        chunker: gives the pieces of a text, in order. When they do not join to the text, cutting raises ValueError.

    Raises:
        ValueError: the name is not such a name, or is taken.
        TypeError: the chunker cannot be called.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a chunker: use 1 to 64 of a-z 0-9 _ - and begin with a letter")
    if name in _chunkers:
        raise ValueError(f"there is a chunker {name!r} already")
    if not callable(chunker):
        raise TypeError(f"the chunker {name!r} is a {type(chunker).__name__}, which cannot be called")
    _chunkers[name] = enforce_invariants(name, chunker)


def get_chunker(name: str) -> Callable[[str], list[str]]:
    """Give the chunker of this name. What it gives keeps the law of chunking, whoever wrote it.

    Raises:
        UnknownChunkerError: there is none; it is a KeyError.
    """
    try:
        return _chunkers[name]
    except KeyError:
        raise UnknownChunker(f"there is no chunker {name!r}: choose one of {', '.join(names())}") from None


def names() -> tuple[str, ...]:
    """Give the names of all chunkers, in the order in which they were registered."""
    return tuple(_chunkers)

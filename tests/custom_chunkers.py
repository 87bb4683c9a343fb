"""Backend module that registers a valid chunker and two broken ones."""

from __future__ import annotations

from persona_stream.chunking.registry import register


def _raise(text: str) -> list[str]:
    raise RuntimeError("a bug in a chunker")


register("lines", lambda text: text.splitlines(keepends=True))
register("lossy", lambda text: text.split())
register("raising", _raise)


def ask(message: str) -> str:
    """Return an answer of three lines."""
    return "One line.\nAnother.\nA third line, which is longer than the others."

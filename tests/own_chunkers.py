"""A backend whose author registered chunkers of their own: a good one and two that are broken."""

from __future__ import annotations

from persona_stream.chunking.registry import register


def _raise(text: str) -> list[str]:
    raise RuntimeError("a bug in somebody's chunker")


register("lines", lambda text: text.splitlines(keepends=True))
register("lossy", lambda text: text.split())
register("raising", _raise)


def ask(message: str) -> str:
    """Answer in three lines."""
    return "One line.\nAnother.\nA third line, which is longer than the others."

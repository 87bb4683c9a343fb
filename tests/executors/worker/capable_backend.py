"""Backend with capabilities, whose module no test imports."""

from __future__ import annotations


def ask(message: str) -> str:
    """Return the message."""
    return message


ask.capabilities = {"tools", "images"}

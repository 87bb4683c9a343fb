"""What can go wrong with a provider, by what a client and an operator need to know about it."""

from __future__ import annotations

from typing import Literal

Kind = Literal[
    "credentials",
    "credit",
    "model",
    "too_long",
    "filtered",
    "refused",
    "busy",
    "failed",
    "timeout",
    "unreachable",
    "unreadable",
    "empty",
    "too_large",
]

_QUOTED = 500  # characters


class Trouble(Exception):
    """Stop one try at an answer.

    Attributes:
        kind: what the client is told.
        detail: what the log is told; it may quote the provider.
        again: whether another try may go better.
        retry_after: seconds that the provider asks to wait before it, when it does.
    """

    def __init__(self, kind: Kind, detail: str, *, again: bool = False, retry_after: float | None = None) -> None:
        super().__init__(kind, detail)
        self.kind: Kind = kind
        self.detail = detail
        self.again = again
        self.retry_after = retry_after


def quote(body: bytes) -> str:
    """Show the beginning of what a stranger sent, on one line and without terminal escapes."""
    return repr(body[: _QUOTED * 4].decode(errors="replace")[:_QUOTED])

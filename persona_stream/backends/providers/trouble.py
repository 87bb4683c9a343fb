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
    "broken_off",
    "unreadable",
    "empty",
    "too_large",
]

_QUOTED = 500  # characters
_TELLING = 8  # characters of a secret that say more than what kind of secret it is


class Trouble(Exception):
    """Stop one try at an answer.

    Attributes:
        kind: what the client is told.
        detail: what the log is told; it may quote the provider.
        again: whether another try may go better.
        elsewhere: whether another provider may do better: this one was away, busy, or failed.
        down: whether it is a sign that this one is dead: others that ask now will fare no better.
        retry_after: seconds that the provider asks to wait before another try, when it does.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        again: bool = False,
        elsewhere: bool = False,
        down: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(kind, detail)
        self.kind: Kind = kind
        self.detail = detail
        self.again = again
        self.elsewhere = elsewhere
        self.down = down
        self.retry_after = retry_after

    def after_words(self) -> Trouble:
        """Give the same for an answer of which readers have a part: nobody can begin it anew."""
        return Trouble("broken_off" if self.kind == "unreachable" else self.kind, self.detail)


def quote(body: bytes) -> str:
    """Show the beginning of what a stranger sent, on one line and without terminal escapes."""
    return repr(body[: _QUOTED * 4].decode(errors="replace")[:_QUOTED])


def mask(text: str, secret: str) -> str:
    """Give a text without a secret, nor the beginning of one in the middle of which a quotation was cut."""
    if not secret:
        return text
    masked = text.replace(secret, "***")
    for size in range(len(secret) - 1, _TELLING - 1, -1):
        masked = masked.replace(secret[:size], "***")
    return masked

"""What was asked of a provider, and what came back."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Upstream(Struct, frozen=True, kw_only=True):
    """Hold one try.

    Attributes:
        provider: the dialect that it speaks.
        model: the model that was asked for.
        url: where; without credentials.
        request: the body that was sent, before it was written as JSON.
        response: the body of the answer; of a stream, the whole that it comes to. ``None`` where none came.
        trouble: what went wrong, in the log's words, or ``None``.
        outcome: ``answered``, the kind of the trouble, or ``stopped`` where the run ended first.
        began_at: the moment, in seconds since 1970.
        seconds: how long it took.
    """

    provider: str
    model: str
    url: str
    request: Any
    response: Any = None
    trouble: str | None = None
    outcome: str = "answered"
    began_at: float
    seconds: float

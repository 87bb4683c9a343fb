"""Which runs of the log somebody wants to see."""

from __future__ import annotations

from msgspec import Struct

FAILED = ("error", "timeout")
"""What a run's status is when it went wrong."""


class Filters(Struct, frozen=True):
    """Say which runs are wanted; what is left out does not matter.

    Attributes:
        statuses: any of these.
        user: the caller or the persona.
        slow: those that took so many seconds or longer.
        since, until: those that were taken in from one moment, and before another, in seconds since 1970.
        ended_since: those that have ended, at this moment or later.
        search: those that have this text in the beginning of their question, or in the name of caller or persona,
            or whose name begins with it.
    """

    statuses: tuple[str, ...] = ()
    user: str | None = None
    endpoint: str | None = None
    model: str | None = None
    conversation: str | None = None
    slow: float | None = None
    since: float | None = None
    until: float | None = None
    ended_since: float | None = None
    search: str | None = None

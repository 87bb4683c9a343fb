"""What can be told of a run beside its facts: no reader's stream depends on it, and so no journal keeps it."""

from __future__ import annotations

from msgspec import Struct

from persona_stream.core.query import Upstream
from persona_stream.order import Order


class Began(Struct, frozen=True):
    """The run was accepted in this process. Comes before its first fact.

    It is said in the context that the work will run in: context variables that an observer sets then go with it.
    """

    order: Order


class Asked(Struct, frozen=True):
    """A provider was asked, and answered or did not."""

    upstream: Upstream


class Raw(Struct, frozen=True):
    """The backend returned an answer that keeps this of its own beside the text."""

    value: object


class Abandoned(Struct, frozen=True):
    """The run has ended, and its thread goes on: it cannot be stopped."""


class Released(Struct, frozen=True):
    """The run's work holds no thread, greenlet or memory any more. Said once of each run that started here."""


class Responded(Struct, frozen=True):
    """The request that the run was begun for was answered with this head."""

    status: int
    headers: tuple[tuple[str, str], ...]


class Reading(Struct, frozen=True, kw_only=True):
    """Somebody read the run here, and left. Moments are seconds since 1970, and ``None`` for what never came.

    Attributes:
        dialect: in which it was told.
        resumed: whether the reader came back, and was not the one that began the run.
        began_at: when it came.
        first_event_at: when it was sent the first event.
        first_text_at: when it was sent the first text of the answer.
        last_at: when it was sent the last event.
        events, pieces: how many it was sent, and how many of them had text of the answer.
        sent_bytes: how much that was, in bytes.
        is_whole: whether it was sent the ending.
        ended_at: when the run ended, if it had when the reader left.
    """

    dialect: str
    resumed: bool
    began_at: float
    first_event_at: float | None
    first_text_at: float | None
    last_at: float | None
    events: int
    pieces: int
    sent_bytes: int
    is_whole: bool
    ended_at: float | None = None


Note = Began | Asked | Raw | Abandoned | Released | Responded | Reading

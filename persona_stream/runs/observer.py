"""What can be told of a run beside its facts: no reader's stream depends on it, and so no journal keeps it.

What else happens when something happened to a run, or around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from persona_stream.core.facts import Entry
from persona_stream.core.query import UpstreamCall
from persona_stream.runs.request import RunRequest


class RunStarted(Struct, frozen=True):
    """The run was accepted in this process. Comes before its first fact.

    It is said in the context that the work will run in: context variables that an observer sets then go with it.
    """

    order: RunRequest


class UpstreamCalled(Struct, frozen=True):
    """A provider was asked, and answered or did not."""

    upstream: UpstreamCall


class RawResponse(Struct, frozen=True):
    """The backend returned an answer that keeps this of its own beside the text."""

    value: object


class TaskOrphaned(Struct, frozen=True):
    """The run has ended, and its thread goes on: it cannot be stopped."""


class TaskReleased(Struct, frozen=True):
    """The run's work holds no thread, greenlet or memory any more. Said once of each run that started here."""


class ResponseSent(Struct, frozen=True):
    """The request that the run was begun for was answered with this head."""

    status: int
    headers: tuple[tuple[str, str], ...]


class SubscriptionClosed(Struct, frozen=True, kw_only=True):
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


Notification = (
    RunStarted | UpstreamCalled | RawResponse | TaskOrphaned | TaskReleased | ResponseSent | SubscriptionClosed
)


class RunObserver(Protocol):
    """Be told of every fact after it was written, and of what happens around it.

    What happens around a run may be told after its ending too: a thread may go on for long, and a reader stay.
    Runs of this process are told whole, others only as far as they are read here. Must not block, raise, or change
    anything of the run. Both methods are called in the hub's thread.
    """

    def on_fact(self, entries: Sequence[Entry]) -> None:
        """See a journal whose last entry is new."""
        ...

    def on_notification(self, run_id: str, note: Notification) -> None:
        """Hear what happened around a run."""
        ...

"""Observers of runs: they receive each fact, and notifications of other events around a run.

No subscriber's stream depends on a notification, so no journal stores it.
"""

from collections.abc import Sequence

from msgspec import Struct

from persona_stream.core.facts import Entry
from persona_stream.core.query import UpstreamCall
from persona_stream.runs.request import RunRequest


class RunStarted(Struct, frozen=True):
    """Run accepted in this process. Comes before its first fact.

    Sent in the context in which the query will run: it inherits the context variables that an observer sets.
    """

    request: RunRequest


class UpstreamCalled(Struct, frozen=True):
    """Call to a provider, successful or not."""

    call: UpstreamCall


class RawResponse(Struct, frozen=True):
    """Provider's own response, which the backend returned with its answer."""

    value: object


class TaskOrphaned(Struct, frozen=True):
    """Run ended while its thread, which cannot be stopped, continues."""


class TaskReleased(Struct, frozen=True):
    """Task's thread, greenlet and memory released. Sent once for each query that started here."""


class ResponseSent(Struct, frozen=True):
    """Head of the response to the request that started the run."""

    status: int
    headers: tuple[tuple[str, str], ...]


class SubscriptionClosed(Struct, frozen=True, kw_only=True):
    """Delivery statistics of a former subscriber. Times are seconds since 1970; ``None`` if it never happened."""

    protocol: str
    resumed: bool  # whether the subscriber joined a run that had started before its request
    began_at: float  # when it subscribed
    first_event_at: float | None  # when the first event was sent
    first_text_at: float | None  # when the first text of the answer was sent
    last_at: float | None  # when the last event was sent
    events: int
    chunks: int  # events with text of the answer
    sent_bytes: int
    is_whole: bool  # whether the ending was sent
    ended_at: float | None = None  # when the run ended, if it had when the subscriber left


Notification = (
    RunStarted | UpstreamCalled | RawResponse | TaskOrphaned | TaskReleased | ResponseSent | SubscriptionClosed
)


class RunObserver:
    """Base class of observers; its methods do nothing.

    Observers see all facts of this process's runs, and those of other runs as far as they are read here. Notifications
    may follow the ending: a thread may continue, and a subscriber may stay. Methods are called in the thread of the
    event loop, and must not block, raise, or change the run.
    """

    def on_fact(self, entries: Sequence[Entry]) -> None:
        """Handle a new fact: the last entry of the run's journal."""

    def on_notification(self, run_id: str, notification: Notification) -> None:
        """Handle a notification."""

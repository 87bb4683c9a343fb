"""Contract of runs: the request for a run, and the observers, which receive each fact and notifications around a run.

No subscriber's stream depends on a notification, so no journal stores it.
"""

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct

from persona_stream.backends.base import Backend
from persona_stream.core.facts import Entry
from persona_stream.core.query import Query, UpstreamCall
from persona_stream.journals.base import IdempotencyKey


class RequestInfo(Struct, frozen=True):
    """HTTP request that starts a run, for the request log. Empty for a run without one."""

    endpoint: str = ""  # path, without the query string
    protocol: str = "native"
    method: str = ""
    address: str = ""
    user_agent: str = ""
    headers: tuple[tuple[str, str], ...] = ()  # headers, without credentials
    body: bytes = b""  # body as it was sent


class RunRequest(Struct, frozen=True):
    """Request for a run."""

    query: Query  # question; ``query.principal`` becomes the owner of the run
    backend: Backend
    style: str  # default style of streams
    chunking: str  # default chunker of streams
    reasoning: bool = False  # whether streams include the reasoning by default
    grace: float | None = None  # seconds that the run continues without a subscriber; ``None`` for ever
    idempotency_key: IdempotencyKey | None = None
    request_info: RequestInfo = RequestInfo()
    stored_request: str = ""  # ``Accepted.request``
    is_fresh: bool = False  # whether a cached answer is not accepted
    continues_conversation: bool = False  # whether the server loads the conversation's history for the query
    keeps_exchange: bool = False  # whether question and answer become part of the conversation
    is_logged: bool = True  # whether the request log has the run


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


Notification = RunStarted | UpstreamCalled | RawResponse | TaskReleased | ResponseSent | SubscriptionClosed


class RunObserver:
    """Base class of observers; its methods do nothing.

    Observers see all facts of this process's runs, and those of other runs as far as they are read here. Notifications
    may follow the ending: a thread may continue, and a subscriber may stay. Methods are called in the thread of the
    event loop, and must not block, raise, or change the run.

    Attributes:
        reads_requests: whether it reads the headers or bodies of requests, or the heads of responses, which are kept
            only for an observer that does.
    """

    reads_requests: ClassVar[bool] = False

    def on_fact(self, entries: Sequence[Entry]) -> None:
        """Handle a new fact: the last entry of the run's journal."""

    def on_notification(self, run_id: str, notification: Notification) -> None:
        """Handle a notification."""

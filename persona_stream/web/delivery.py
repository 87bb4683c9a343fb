"""Subscription of one client to a run: its connection and its delivery statistics."""

from collections.abc import Callable

from flask import Request

from persona_stream.core.events import Completed, Event, RunFailed, TextChunk
from persona_stream.core.facts import has_ended, run_terms
from persona_stream.journals.base import Journal
from persona_stream.protocols.base import WireProtocol
from persona_stream.runs.base import SubscriptionClosed
from persona_stream.web.connections import DisconnectDetector
from persona_stream.web.services import Services

_FINAL_EVENTS = (Completed, RunFailed)


class Subscription:
    """Subscription that keeps a run alive and is reported when it closes. ``close`` must be called, and may be again.

    Attributes:
        journal: Journal of the run.
        protocol: Protocol of the response.
        is_disconnected: Returns whether the client has disconnected.
    """

    __slots__ = (
        "_chunks", "_clock", "_disconnects", "_events", "_first_event_at", "_first_text_at", "_is_complete", "_last_at",
        "_notify", "_resumed", "_sent_bytes", "_subscribed_at", "_unsubscribe", "is_disconnected", "journal",
        "protocol",
    )  # fmt: skip

    def __init__(self, request: Request, services: Services, journal: Journal, protocol: WireProtocol) -> None:
        self.journal = journal
        self.protocol = protocol
        self._disconnects = DisconnectDetector(request.environ)
        self.is_disconnected = self._disconnects.is_disconnected
        self._notify = services.runs.notify
        self._clock = services.clock
        self._resumed = request.method == "GET"  # a POST starts the run
        self._subscribed_at = services.clock()
        self._first_event_at: float | None = None
        self._first_text_at: float | None = None
        self._last_at: float | None = None
        self._events = 0
        self._chunks = 0
        self._sent_bytes = 0
        self._is_complete = False
        self._unsubscribe: Callable[[], None] | None = services.runs.subscribe(journal)

    def record_event(self, event: Event, size: int) -> None:
        """Record an event of so many bytes that is about to be sent."""
        self._record_bytes(size)
        self._events += 1
        if isinstance(event, TextChunk):
            self._chunks += 1
            if self._first_text_at is None:
                self._first_text_at = self._last_at
        elif isinstance(event, _FINAL_EVENTS):
            self._is_complete = True

    def record_body(self, size: int, *, has_text: bool) -> None:
        """Record a whole response of so many bytes."""
        self._record_bytes(size)
        self._is_complete = True
        if has_text:
            self._chunks = 1
            self._first_text_at = self._last_at

    def _record_bytes(self, size: int) -> None:
        self._last_at = self._clock()
        if self._first_event_at is None:
            self._first_event_at = self._last_at
        self._sent_bytes += size

    def close(self) -> None:
        """Release the run and the connection, and notify the observers."""
        if self._unsubscribe is None:
            return
        unsubscribe = self._unsubscribe
        self._unsubscribe = None
        self._disconnects.restore()
        unsubscribe()
        report = SubscriptionClosed(
            protocol=self.protocol.name,
            resumed=self._resumed,
            began_at=self._subscribed_at,
            first_event_at=self._first_event_at,
            first_text_at=self._first_text_at,
            last_at=self._last_at,
            events=self._events,
            chunks=self._chunks,
            sent_bytes=self._sent_bytes,
            is_whole=self._is_complete,
            ended_at=self.journal.entries[-1].at if has_ended(self.journal.entries) else None,
        )
        self._notify(run_terms(self.journal.entries).run_id, report)

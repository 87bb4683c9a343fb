"""Delivery statistics of one subscriber."""

from __future__ import annotations

from persona_stream.core.clock import Clock
from persona_stream.core.events import Completed, Event, RunFailed, TextChunk
from persona_stream.journals.base import Journal, has_ended
from persona_stream.runs.observer import SubscriptionClosed

_FINAL_EVENTS = (Completed, RunFailed)


class DeliveryStats:
    """Counters and moments of one subscription, for the ``SubscriptionClosed`` notification.

    Args:
        protocol: Name of the protocol.
        clock: Clock of the journal.
        resumed: Whether the subscriber joined a run that another request started.
    """

    __slots__ = (
        "_chunks", "_clock", "_events", "_first_event_at", "_first_text_at", "_is_complete", "_last_at", "_protocol",
        "_resumed", "_sent_bytes", "_subscribed_at",
    )  # fmt: skip

    def __init__(self, protocol: str, clock: Clock, *, resumed: bool) -> None:
        self._protocol = protocol
        self._clock = clock
        self._resumed = resumed
        self._subscribed_at = clock()
        self._first_event_at: float | None = None
        self._first_text_at: float | None = None
        self._last_at: float | None = None
        self._events = 0
        self._chunks = 0
        self._sent_bytes = 0
        self._is_complete = False

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

    def report(self, journal: Journal) -> SubscriptionClosed:
        """Return the notification for this subscription as it stands."""
        return SubscriptionClosed(
            protocol=self._protocol,
            resumed=self._resumed,
            began_at=self._subscribed_at,
            first_event_at=self._first_event_at,
            first_text_at=self._first_text_at,
            last_at=self._last_at,
            events=self._events,
            chunks=self._chunks,
            sent_bytes=self._sent_bytes,
            is_whole=self._is_complete,
            ended_at=journal.entries[-1].at if has_ended(journal) else None,
        )

    def _record_bytes(self, size: int) -> None:
        self._last_at = self._clock()
        if self._first_event_at is None:
            self._first_event_at = self._last_at
        self._sent_bytes += size

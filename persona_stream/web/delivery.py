"""Count what one reader was sent."""

from __future__ import annotations

from collections.abc import Callable

from flask import Request

from persona_stream.core.clock import Clock
from persona_stream.core.events import Completed, Event, RunFailed, TextChunk
from persona_stream.journals.base import Journal, has_ended, run_terms
from persona_stream.runs.observer import SubscriptionClosed
from persona_stream.web.services import Services


def subscribe(
    request: Request, desk: Services, journal: Journal, dialect: str
) -> tuple[DeliveryStats, Callable[[], None]]:
    """Count a reader in; give what counts what it is sent, and what counts it out, to be called once."""
    tally = DeliveryStats(dialect, desk.clock, resumed=request.method == "GET")
    leave, run_id = desk.runs.subscribe(journal), run_terms(journal).run_id

    def left() -> None:
        leave()
        desk.runs.notify(run_id, tally.report(journal))

    return tally, left


class DeliveryStats:
    """Be told of each event as it goes out, and give the ``Reading`` in the end."""

    __slots__ = ("_began_at", "_clock", "_dialect", "_first_event_at", "_first_text_at", "_last_at", "_resumed",
                 "events", "is_whole", "pieces", "sent_bytes")  # fmt: skip

    def __init__(self, dialect: str, clock: Clock, *, resumed: bool) -> None:
        self._dialect, self._clock, self._resumed = dialect, clock, resumed
        self._began_at = clock()
        self._first_event_at: float | None = None
        self._first_text_at: float | None = None
        self._last_at: float | None = None
        self.events = self.pieces = self.sent_bytes = 0
        self.is_whole = False

    def record_event(self, event: Event, frame: bytes) -> None:
        """Count an event that is about to be sent."""
        self._sent(len(frame))
        self.events += 1
        if isinstance(event, TextChunk):
            self.pieces += 1
            if self._first_text_at is None:
                self._first_text_at = self._last_at
        elif isinstance(event, Completed | RunFailed):
            self.is_whole = True

    def record_body(self, body: bytes, *, has_text: bool) -> None:
        """Count an answer that is sent whole."""
        self._sent(len(body))
        self.is_whole = True
        if has_text:
            self.pieces = 1
            self._first_text_at = self._last_at

    def report(self, journal: Journal) -> SubscriptionClosed:
        """Give what there is by now, of a reader of this run."""
        return SubscriptionClosed(
            dialect=self._dialect,
            resumed=self._resumed,
            began_at=self._began_at,
            first_event_at=self._first_event_at,
            first_text_at=self._first_text_at,
            last_at=self._last_at,
            events=self.events,
            pieces=self.pieces,
            sent_bytes=self.sent_bytes,
            is_whole=self.is_whole,
            ended_at=journal.entries[-1].at if has_ended(journal) else None,
        )

    def _sent(self, count: int) -> None:
        self._last_at = self._clock()
        if self._first_event_at is None:
            self._first_event_at = self._last_at
        self.sent_bytes += count

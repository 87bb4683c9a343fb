"""Those who wait for a place: what they are told meanwhile, and what happens when their turn comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import gevent
from msgspec import Struct

from persona_stream.admission import Admission, Ticket
from persona_stream.concurrency import Timer
from persona_stream.core.clock import Clock
from persona_stream.core.facts import Failed, Queued
from persona_stream.live import Live

_EVERY = 2.0  # seconds between two looks at who is where in the queue
_NEWS = 0.1  # what the newest run counts for in the mean of how long one takes


class _Guest(Struct):
    live: Live
    begin: Callable[[], None]
    patience: Timer
    place: int = 0


class Lobby:
    """Let runs in as there are places for them."""

    def __init__(self, admission: Admission, patience: float, clock: Clock) -> None:
        """Open it.

        Args:
            admission: who decides.
            patience: for how many seconds a run may wait.
            clock: tells the moment.
        """
        self._admission, self._patience, self._clock = admission, patience, clock
        self._guests: dict[Ticket, _Guest] = {}
        self._began: dict[Ticket, float] = {}
        self._mean: float | None = None  # seconds that a run takes

    def enter(self, ticket: Ticket) -> None:
        """Take a place, or one in the queue.

        Raises:
            Busy: there is neither.
        """
        self._admission.enter(ticket)

    def receive(self, ticket: Ticket, live: Live, begin: Callable[[], None]) -> None:
        """Begin a run now if it has a place, else when it gets one, unless it ends before."""
        if ticket.has_place:
            self._begin(ticket, begin)
            return
        if not self._guests:
            gevent.spawn_later(_EVERY, self._look)
        self._guests[ticket] = _Guest(live, begin, Timer(self._patience, live.end, Failed("timeout")))
        self._tell()

    def over(self, ticket: Ticket) -> None:
        """Hear that a run has ended, wherever it was."""
        if (guest := self._guests.pop(ticket, None)) is not None:
            guest.patience.cancel()
        if (began_at := self._began.pop(ticket, None)) is not None:
            taken = self._clock() - began_at
            self._mean = taken if self._mean is None else self._mean + _NEWS * (taken - self._mean)
        self._admit(self._admission.over(ticket))

    def release(self, ticket: Ticket) -> None:
        """Take a place back, once nothing holds it."""
        self._admit(self._admission.release(ticket))

    def _admit(self, tickets: Sequence[Ticket]) -> None:
        for ticket in tickets:
            # One that is not here yet finds that it has a place.
            if (guest := self._guests.pop(ticket, None)) is not None:
                guest.patience.cancel()
                gevent.spawn(self._begin, ticket, guest.begin)

    def _begin(self, ticket: Ticket, begin: Callable[[], None]) -> None:
        if not ticket.is_over:
            self._began[ticket] = self._clock()
        begin()

    def _look(self) -> None:
        while self._guests:
            self._admit(self._admission.admit())  # bounds that processes share change without a word
            self._tell()
            gevent.sleep(_EVERY)

    def _tell(self) -> None:
        """Tell those whose place has changed."""
        for place, ticket in enumerate(self._admission.in_line(), 1):
            guest = self._guests.get(ticket)
            if guest is not None and guest.place != place:
                guest.place = place
                guest.live.journal.append(Queued(place, self._eta(place)))

    def _eta(self, place: int) -> float | None:
        # As if all places were taken by runs of the same length, whose ends are spread evenly.
        if self._mean is None or not self._admission.taken:
            return None
        return self._mean * place / self._admission.taken

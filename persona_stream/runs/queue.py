"""Who may run now, and who waits: bounds on what is under way at once, and a fair queue before them. Pure.

Its laws: a place is held by one run at a time and given back once; nobody waits while it could run; owners take turns,
so that one who asks for much keeps nobody else waiting; and of one owner's runs, the first to come is the first to go,
unless it waits for another of its conversation.

Those who wait for a place: what they are told meanwhile, and what happens when their turn comes.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence

import gevent
from msgspec import Struct

from persona_stream.concurrency import Timer
from persona_stream.core.clock import Clock
from persona_stream.core.facts import Failed, Queued
from persona_stream.errors import Overloaded
from persona_stream.runs.run import ActiveRun


class Reservation:
    """Stand for one run, from its acceptance until it holds nothing any more.

    Attributes:
        owner: who asks.
        backend: who answers.
        conversation: the conversation that it goes on with; such runs go one after the other. ``None`` for none.
    """

    __slots__ = ("backend", "conversation", "has_slot", "is_over", "is_queued", "owner")

    def __init__(self, owner: str, backend: str, conversation: str | None = None) -> None:
        self.owner, self.backend, self.conversation = owner, backend, conversation
        self.has_slot = self.is_queued = self.is_over = False

    @property
    def conversation_key(self) -> tuple[str, str] | None:
        """Name the conversation: its own name is its owner's choice."""
        return None if self.conversation is None else (self.owner, self.conversation)


class Scheduler:
    """Know who has a place and who waits."""

    def __init__(
        self,
        most: int,
        most_per_owner: int,
        most_waiting: int = 0,
        most_per_backend: Callable[[str], int | None] = lambda backend: None,
        share: Callable[[], int | None] = lambda: None,
    ) -> None:
        """Set the bounds.

        Args:
            most: how many places there are.
            most_per_owner: how many of them one owner may have.
            most_waiting: how many may wait.
            most_per_backend: says how many places a backend may have, if there is a bound.
            share: says how many there are for this process, where several share them; it may change at any time.
        """
        self._share = share
        self._most, self._most_per_owner, self._most_waiting = most, most_per_owner, most_waiting
        self._most_per_backend = most_per_backend
        self._owners: Counter[str] = Counter()
        self._backends: Counter[str] = Counter()
        self._talks: dict[tuple[str, str], list[Reservation]] = {}  # the first one is talking
        self._line: OrderedDict[str, list[Reservation]] = OrderedDict()  # by owner; the first owner's turn is next
        self.slots_in_use = self.waiting = 0

    def enter(self, ticket: Reservation) -> bool:
        """Give a place, or let it wait for one; tell whether it has one.

        Raises:
            Overloaded: too many wait already.
        """
        # Whoever waits does so because nothing fits: so nobody is overtaken here who could run.
        if self._fits(ticket) and self._is_first(ticket):
            self._talk(ticket)
            self._take(ticket)
            return True
        if self.waiting >= self._most_waiting:
            raise self._refusal(ticket)
        self._talk(ticket)
        self._line.setdefault(ticket.owner, []).append(ticket)
        ticket.is_queued = True
        self.waiting += 1
        return False

    def finish(self, ticket: Reservation) -> Sequence[Reservation]:
        """Hear that a run has ended, whether it had a place or not; give those that have one now.

        Whether its work has ended too is another matter: see ``release``. That may come before: an ending is heard of
        when what keeps the journal has it.
        """
        if ticket.is_over:
            return ()
        ticket.is_over = True
        if ticket.is_queued:
            self._leave_line(ticket)
        if ticket.conversation_key is not None:
            rest = self._talks[ticket.conversation_key]
            rest.remove(ticket)
            if not rest:
                del self._talks[ticket.conversation_key]
        return self.admit()

    def release(self, ticket: Reservation) -> Sequence[Reservation]:
        """Take a place back, once nothing holds it; give those that have one now."""
        if ticket.has_slot:
            ticket.has_slot = False
            self.slots_in_use -= 1
            for counter, name in ((self._owners, ticket.owner), (self._backends, ticket.backend)):
                counter[name] -= 1
                if not counter[name]:
                    del counter[name]
        return self.admit()

    def admit(self) -> Sequence[Reservation]:
        """Give those that have a place now, after the bounds have changed or a place has come back."""
        return list(self._admitted())

    def queued(self) -> Iterator[Reservation]:
        """Give those who wait, the next one first, as far as that can be told."""
        lines = list(self._line.values())
        for turn in range(max(map(len, lines), default=0)):
            yield from (line[turn] for line in lines if turn < len(line))

    @property
    def capacity(self) -> int:
        """How many places there are now."""
        share = self._share()
        return self._most if share is None else min(self._most, share)

    def _fits(self, ticket: Reservation) -> bool:
        most = self._most_per_backend(ticket.backend)
        return (
            self.slots_in_use < self.capacity
            and self._owners[ticket.owner] < self._most_per_owner
            and (most is None or self._backends[ticket.backend] < most)
        )

    def _is_first(self, ticket: Reservation) -> bool:
        return ticket.conversation_key is None or self._talks.get(ticket.conversation_key, [ticket])[0] is ticket

    def _talk(self, ticket: Reservation) -> None:
        if ticket.conversation_key is not None:
            self._talks.setdefault(ticket.conversation_key, []).append(ticket)

    def _take(self, ticket: Reservation) -> None:
        ticket.has_slot = True
        self.slots_in_use += 1
        self._owners[ticket.owner] += 1
        self._backends[ticket.backend] += 1

    def _admitted(self) -> Iterator[Reservation]:
        """Give places to those who wait, an owner after the other, as long as anybody can have one."""
        while (ticket := self._next()) is not None:
            self._leave_line(ticket)
            if ticket.owner in self._line:
                self._line.move_to_end(ticket.owner)
            self._take(ticket)
            yield ticket

    def _next(self) -> Reservation | None:
        if self.slots_in_use >= self.capacity:
            return None
        for line in self._line.values():
            for ticket in line:
                if self._fits(ticket) and self._is_first(ticket):
                    return ticket
        return None

    def _leave_line(self, ticket: Reservation) -> None:
        line = self._line[ticket.owner]
        line.remove(ticket)
        ticket.is_queued = False
        self.waiting -= 1
        if not line:
            del self._line[ticket.owner]

    def _refusal(self, ticket: Reservation) -> Overloaded:
        if self._owners[ticket.owner] >= self._most_per_owner:
            return Overloaded(
                "You have as many runs under way as you may: wait for one to end, or cancel one", retry_after=2
            )
        return Overloaded("Every place is taken: try again in a moment", retry_after=2)


_EVERY = 2.0  # seconds between two looks at who is where in the queue
EWMA_WEIGHT = 0.1  # what the newest run counts for in the mean of how long one takes


class QueuedRun(Struct):
    live: ActiveRun
    begin: Callable[[], None]
    timeout: Timer
    place: int = 0


class RunQueue:
    """Let runs in as there are places for them."""

    def __init__(self, admission: Scheduler, patience: float, clock: Clock) -> None:
        """Open it.

        Args:
            admission: who decides.
            patience: for how many seconds a run may wait.
            clock: tells the moment.
        """
        self._admission, self._patience, self._clock = admission, patience, clock
        self._guests: dict[Reservation, QueuedRun] = {}
        self._began: dict[Reservation, float] = {}
        self._mean: float | None = None  # seconds that a run takes

    def reserve(self, ticket: Reservation) -> None:
        """Take a place, or one in the queue.

        Raises:
            Overloaded: there is neither.
        """
        self._admission.enter(ticket)

    def submit(self, ticket: Reservation, live: ActiveRun, begin: Callable[[], None]) -> None:
        """Begin a run now if it has a place, else when it gets one, unless it ends before."""
        if ticket.has_slot:
            self._begin(ticket, begin)
            return
        if not self._guests:
            gevent.spawn_later(_EVERY, self._look)
        self._guests[ticket] = QueuedRun(live, begin, Timer(self._patience, live.finish, Failed("timeout")))
        self._tell()

    def finish(self, ticket: Reservation) -> None:
        """Hear that a run has ended, wherever it was."""
        if (guest := self._guests.pop(ticket, None)) is not None:
            guest.timeout.cancel()
        if (began_at := self._began.pop(ticket, None)) is not None:
            taken = self._clock() - began_at
            self._mean = taken if self._mean is None else self._mean + EWMA_WEIGHT * (taken - self._mean)
        self._admit(self._admission.finish(ticket))

    def release(self, ticket: Reservation) -> None:
        """Take a place back, once nothing holds it."""
        self._admit(self._admission.release(ticket))

    def _admit(self, tickets: Sequence[Reservation]) -> None:
        for ticket in tickets:
            # One that is not here yet finds that it has a place.
            if (guest := self._guests.pop(ticket, None)) is not None:
                guest.timeout.cancel()
                gevent.spawn(self._begin, ticket, guest.begin)

    def _begin(self, ticket: Reservation, begin: Callable[[], None]) -> None:
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
        for place, ticket in enumerate(self._admission.queued(), 1):
            guest = self._guests.get(ticket)
            if guest is not None and guest.place != place:
                guest.place = place
                guest.live.journal.append(Queued(place, self._eta(place)))

    def _eta(self, place: int) -> float | None:
        # As if all places were taken by runs of the same length, whose ends are spread evenly.
        if self._mean is None or not self._admission.slots_in_use:
            return None
        return self._mean * place / self._admission.slots_in_use

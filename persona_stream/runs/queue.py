"""Fair queue of runs waiting for a slot: ``Scheduler`` decides and is pure, ``RunQueue`` acts.

Invariants:
    A slot is held by one run at a time, and released once: when the run's task has released everything.
    No run waits that could start.
    Owners take turns, so that an owner with many runs does not delay the others.
    Runs of one owner start in their order, except for one that waits for an earlier run of its conversation.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import gevent

from persona_stream.concurrency import Timer
from persona_stream.core.facts import Failed, Queued
from persona_stream.errors import Overloaded
from persona_stream.journals.base import Journal

POSITION_INTERVAL = 2.0  # seconds between two updates of the positions
RETRY_AFTER = 2  # seconds, of a rejected request


class QueueableRun(Protocol):
    """Run that the queue starts, or fails when it has waited for too long."""

    reservation: "Reservation"
    journal: Journal

    def start(self) -> None:
        """Start the run in its slot. Must not block."""

    def finish(self, ending: Failed) -> None:
        """End the run."""

    def expected_seconds(self) -> float | None:
        """Return the mean of the seconds that the run will need its slot, if it is known."""


class Reservation:
    """Claim of one run to a slot, from its admission until the slot is released."""

    __slots__ = (
        "conversation_key", "expected_seconds", "has_slot", "is_over", "is_queued", "owner", "position", "run",
        "timeout",
    )  # fmt: skip

    def __init__(self, owner: str, conversation: str | None = None) -> None:
        self.owner = owner
        # Of the conversation that the run continues: such runs start one after another. Owners choose the names.
        self.conversation_key = None if conversation is None else (owner, conversation)
        self.has_slot = False
        self.is_queued = False
        self.is_over = False  # the run has ended
        self.run: QueueableRun | None = None  # while it waits
        self.timeout: Timer | None = None
        self.position = 0
        self.expected_seconds: float | None = None  # that the run will need its slot


class Scheduler:
    """Pure scheduler of slots."""

    def __init__(
        self, max_runs: int, max_per_owner: int, max_queued: int = 0, share: Callable[[], int | None] = lambda: None
    ) -> None:
        """Create a scheduler with free slots; ``share`` returns the share of slots common to several processes."""
        self._max_runs = max_runs
        self._max_per_owner = max_per_owner
        self._max_queued = max_queued
        self._share = share
        self._owners: Counter[str] = Counter()
        self._conversations: dict[tuple[str, str], list[Reservation]] = {}  # only the first of each may run
        self._queues: OrderedDict[str, list[Reservation]] = OrderedDict()  # by owner; the first owner is next
        self.slots_in_use = 0
        self.waiting = 0

    def enter(self, reservation: "Reservation") -> bool:
        """Assign a slot, or enqueue; return whether it has a slot. Raise ``Overloaded`` if the queue is full."""
        # Waiting runs do not fit, or they would have a slot: so this overtakes none that could start.
        if self._fits(reservation) and self._is_first_of_conversation(reservation):
            self._join_conversation(reservation)
            self._assign(reservation)
            return True
        if self.waiting >= self._max_queued:
            raise self._overload_error(reservation)
        self._join_conversation(reservation)
        self._queues.setdefault(reservation.owner, []).append(reservation)
        reservation.is_queued = True
        self.waiting += 1
        return False

    def finish(self, reservation: "Reservation") -> "Sequence[Reservation]":
        """Mark a run as ended; return the reservations that have a slot now.

        ``release`` reports the end of its task, which may come earlier: an ending counts once the journal stores it.
        """
        if reservation.is_over:
            return ()
        reservation.is_over = True
        if reservation.is_queued:
            self._dequeue(reservation)
        if (key := reservation.conversation_key) is not None:
            self._conversations[key].remove(reservation)
            if not self._conversations[key]:
                del self._conversations[key]
        return self.admit()

    def release(self, reservation: "Reservation") -> "Sequence[Reservation]":
        """Release the slot of a reservation, if it has one; return the reservations that have a slot now."""
        if reservation.has_slot:
            reservation.has_slot = False
            self.slots_in_use -= 1
            self._owners[reservation.owner] -= 1
            if not self._owners[reservation.owner]:
                del self._owners[reservation.owner]
        return self.admit()

    def admit(self) -> "Sequence[Reservation]":
        """Assign free slots, an owner after the other; return the reservations that have one now."""
        admitted = []
        while (reservation := self._next()) is not None:
            self._dequeue(reservation)
            if reservation.owner in self._queues:
                self._queues.move_to_end(reservation.owner)
            self._assign(reservation)
            admitted.append(reservation)
        return admitted

    def queued(self) -> "Iterator[Reservation]":
        """Yield the waiting reservations in their expected order."""
        queues = list(self._queues.values())
        for turn in range(max(map(len, queues), default=0)):
            yield from (queue[turn] for queue in queues if turn < len(queue))

    @property
    def capacity(self) -> int:
        """Current number of slots."""
        share = self._share()
        return self._max_runs if share is None else min(self._max_runs, share)

    def _fits(self, reservation: "Reservation") -> bool:
        return self.slots_in_use < self.capacity and self._owners[reservation.owner] < self._max_per_owner

    def _is_first_of_conversation(self, reservation: "Reservation") -> bool:
        key = reservation.conversation_key
        return key is None or self._conversations.get(key, [reservation])[0] is reservation

    def _join_conversation(self, reservation: "Reservation") -> None:
        if reservation.conversation_key is not None:
            self._conversations.setdefault(reservation.conversation_key, []).append(reservation)

    def _assign(self, reservation: "Reservation") -> None:
        reservation.has_slot = True
        self.slots_in_use += 1
        self._owners[reservation.owner] += 1

    def _next(self) -> "Reservation | None":
        if not self.waiting or self.slots_in_use >= self.capacity:
            return None
        for queue in self._queues.values():
            for reservation in queue:
                if self._fits(reservation) and self._is_first_of_conversation(reservation):
                    return reservation
        return None

    def _dequeue(self, reservation: "Reservation") -> None:
        queue = self._queues[reservation.owner]
        queue.remove(reservation)
        reservation.is_queued = False
        self.waiting -= 1
        if not queue:
            del self._queues[reservation.owner]

    def _overload_error(self, reservation: "Reservation") -> Overloaded:
        if self._owners[reservation.owner] >= self._max_per_owner:
            message = "You have reached your limit of concurrent runs: wait for one to end, or cancel one"
            return Overloaded(message, RETRY_AFTER)
        return Overloaded(f"The server is at capacity: try again in {RETRY_AFTER} s", RETRY_AFTER)


class RunQueue:
    """Queue that starts runs as slots become free, and reports their positions to the subscribers."""

    def __init__(self, scheduler: Scheduler, timeout: float) -> None:
        """Create an empty queue; a run that has waited for ``timeout`` seconds fails."""
        self._scheduler = scheduler
        self._timeout = timeout
        self._is_updating = False

    def reserve(self, reservation: "Reservation") -> None:
        """Reserve a slot or a place in the queue for a run to be created; raise ``Overloaded`` if the queue is full."""
        self._scheduler.enter(reservation)

    def submit(self, run: QueueableRun) -> None:
        """Start a run with a reservation: now if it has a slot, else once it has, unless the run ends before."""
        reservation = run.reservation
        if reservation.has_slot:
            run.start()
            return
        reservation.run = run
        reservation.expected_seconds = run.expected_seconds()
        reservation.timeout = Timer(self._timeout, run.finish, Failed("timeout"))
        if not self._is_updating:
            self._is_updating = True
            gevent.spawn_later(POSITION_INTERVAL, self._update_periodically)
        self._write_positions()

    def finish(self, reservation: "Reservation") -> None:
        """Mark a run as ended, whether it has started or not."""
        self._leave_queue(reservation)
        self._start_admitted(self._scheduler.finish(reservation))

    def release(self, reservation: "Reservation") -> None:
        """Release the slot of a run, once nothing of its task is left."""
        self._start_admitted(self._scheduler.release(reservation))

    def _start_admitted(self, reservations: "Sequence[Reservation]") -> None:
        for reservation in reservations:
            # A run that has not been submitted yet will find that it has a slot.
            if (run := self._leave_queue(reservation)) is not None:
                gevent.spawn(run.start)

    def _leave_queue(self, reservation: "Reservation") -> QueueableRun | None:
        if reservation.timeout is not None:
            reservation.timeout.cancel()
        run = reservation.run
        reservation.timeout = None
        reservation.run = None
        return run

    def _update_periodically(self) -> None:
        while self._scheduler.waiting:
            self._start_admitted(self._scheduler.admit())  # a shared capacity changes without notice
            self._update_expected_seconds()
            self._write_positions()
            gevent.sleep(POSITION_INTERVAL)
        self._is_updating = False

    def _update_expected_seconds(self) -> None:
        # Not at each submission: with a long queue, new runs would take most of the event loop's time.
        for reservation in self._scheduler.queued():
            if reservation.run is not None:
                reservation.expected_seconds = reservation.run.expected_seconds()

    def _write_positions(self) -> None:
        """Append the changed positions to the journals."""
        # Assumes that all slots are in use by runs like those that wait, whose ends are spread evenly.
        seconds: float | None = 0.0
        slots = self._scheduler.slots_in_use
        for position, reservation in enumerate(self._scheduler.queued(), 1):
            expected = reservation.expected_seconds
            seconds = None if seconds is None or expected is None else seconds + expected
            if reservation.run is not None and reservation.position != position:
                reservation.position = position
                eta = seconds / slots if seconds is not None and slots else None
                reservation.run.journal.append(Queued(position, eta))

"""Journal of one run, with its stored facts and those on their way to Redis, and queues of journals."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import gevent
from gevent.event import Event

from persona_stream.core import facts
from persona_stream.core.clock import Clock
from persona_stream.journals.base import IdempotencyKey, Listener
from persona_stream.journals.redis.scripts import decode_entry, encode_entry

logger = logging.getLogger("persona_stream.redis")

MAX_BATCH_JOURNALS = 200  # bounds the latency of a batch
_RETRY_DELAY = 0.25  # seconds


class JournalBackend(Protocol):
    """Operations of a journal that need Redis."""

    @property
    def is_unavailable(self) -> bool:
        """Whether Redis is unavailable."""

    def untrack(self, journal: "RedisJournal") -> None:
        """Stop following a journal without listeners."""

    def has_remote_subscribers(self, run_id: str) -> bool:
        """Return whether other processes follow the run."""

    def load_facts(self, run_id: str, first: int) -> list[bytes]:
        """Return the stored facts of a run from index ``first`` on, encoded."""


@dataclass(slots=True, eq=False)
class RedisJournal:
    """Local copy of a run's journal."""

    run_id: str
    entries: list[facts.Entry]  # facts that Redis is known to have stored
    _backend: JournalBackend
    _writer: "JournalQueue"
    _clock: Clock
    idempotency_key: IdempotencyKey | None = None  # key of the run, needed to restore it
    is_local: bool = False  # whether this process executes the run; then the local copy can restore what Redis has lost
    missing_since: float | None = None  # time when Redis was first seen without the run
    _pending: deque[tuple[facts.Entry, bytes]] = field(default_factory=deque, init=False)
    _is_closed: bool = field(default=False, init=False)  # a final fact is pending
    _listeners: list[Listener] = field(default_factory=list, init=False)

    @property
    def is_unavailable(self) -> bool:
        """Whether Redis is unavailable."""
        return self._backend.is_unavailable

    def append(self, fact: facts.Fact) -> bool:
        """Append a fact; see ``Journal``."""
        if self.is_ending:
            return False
        entry = facts.Entry(self._clock(), fact)
        self._pending.append((entry, encode_entry(entry)))
        self._is_closed = facts.is_ending(fact)
        self._writer.put(self)
        return True

    def subscribe(self, listener: Listener) -> None:
        """Register a listener."""
        self._listeners.append(listener)

    def unsubscribe(self, listener: Listener) -> None:
        """Remove a listener."""
        self._listeners.remove(listener)
        if not self._listeners:
            self._backend.untrack(self)

    def has_remote_subscribers(self) -> bool:
        """Return whether other processes follow this journal."""
        return self._backend.has_remote_subscribers(self.run_id)

    def refresh(self) -> None:
        """Load all stored facts."""
        self.subscribe(_ignore)  # keeps the journal tracked, so that the caller can subscribe afterwards
        try:
            known = len(self.entries)
            self.apply(known, self._backend.load_facts(self.run_id, known))
        finally:
            self.unsubscribe(_ignore)

    @property
    def has_listeners(self) -> bool:
        """Whether the journal has listeners in this process."""
        return bool(self._listeners)

    @property
    def pending(self) -> Sequence[bytes]:
        """Facts that Redis is not known to have stored, oldest first, encoded."""
        return [encoded for _, encoded in self._pending]

    @property
    def pending_since(self) -> float | None:
        """Time of the oldest pending fact."""
        return self._pending[0][0].at if self._pending else None

    @property
    def is_ending(self) -> bool:
        """Whether a final fact is stored or pending."""
        return self._is_closed or facts.has_ended(self.entries)

    def apply(self, index: int, encoded: Sequence[bytes]) -> None:
        """Apply stored facts from ``index`` on; they may contain known facts and pending ones of this process."""
        if facts.has_ended(self.entries):
            return
        added = []
        for fact in encoded[max(0, len(self.entries) - index) :]:
            is_pending = self._pending and self._pending[0][1] == fact
            added.append(self._pending.popleft()[0] if is_pending else decode_entry(fact))
        self._extend(added)

    def mark_lost(self) -> None:
        """End the run for local subscribers, because its real end can no longer be determined."""
        self._extend([facts.Entry(self._clock(), facts.Failed("lost"))])

    def _extend(self, added: Sequence[facts.Entry]) -> None:
        if not added:
            return
        self.entries += added
        self.missing_since = None
        if facts.has_ended(self.entries):
            self._pending.clear()  # no fact follows a final one
        for listener in tuple(self._listeners):
            listener()


class JournalQueue:
    """Queue of journals that a greenlet processes in batches, with a delay after a batch that ``process`` rejects."""

    def __init__(self, process: "Callable[[Sequence[RedisJournal]], bool]") -> None:
        self._process = process
        self._journals: dict[str, RedisJournal] = {}
        self._wakeup = Event()

    def start(self) -> None:
        """Start the greenlet that processes the queue."""
        self._greenlet = gevent.spawn(self._serve)

    def stop(self) -> None:
        """Stop processing the queue."""
        self._greenlet.kill()

    def put(self, journal: "RedisJournal") -> None:
        """Add a journal, unless it is queued already."""
        self._journals[journal.run_id] = journal
        self._wakeup.set()

    def _serve(self) -> None:
        while True:
            self._wakeup.wait()
            self._wakeup.clear()
            batch = [self._journals.pop(run_id) for run_id in list(self._journals)[:MAX_BATCH_JOURNALS]]
            if not self._process_safely(batch):
                gevent.sleep(_RETRY_DELAY)
            if self._journals:
                self._wakeup.set()

    def _process_safely(self, batch: "Sequence[RedisJournal]") -> bool:
        """Process a batch; after an unexpected error each journal by itself, so that one does not stop the others.

        The data of a journal can be anything if another application writes into the same Redis.
        """
        try:
            return self._process(batch)
        except Exception:
            if len(batch) > 1:
                outcomes = [self._process_safely([journal]) for journal in batch]
                return all(outcomes)
            logger.exception("the journal of run %s cannot be processed", batch[0].run_id)
            return False


def _ignore() -> None:
    """Ignore a notification."""


def decode_entries(encoded: Sequence[bytes]) -> list[facts.Entry]:
    """Decode stored facts."""
    return [decode_entry(fact) for fact in encoded]

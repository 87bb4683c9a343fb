"""Journals in the memory of this process: fast, but lost with the process and readable only by it."""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import islice

from persona_stream.core.clock import Clock
from persona_stream.core.facts import Accepted, Entry, Fact, is_ending, run_terms, text_of
from persona_stream.core.forecast import FinishedRun
from persona_stream.errors import Conflict
from persona_stream.journals import base
from persona_stream.journals.answers import MemoryAnswerStore

_ENTRY_OVERHEAD_BYTES = 200  # approximate size of an entry without its text
_MAX_TOMBSTONES = 100_000  # of evicted runs whose ids do not imply yet that they are gone


class MemoryJournal:
    """Journal in a list."""

    __slots__ = ("_clock", "_listeners", "_on_end", "bytes", "ended_at", "entries", "idempotency_key")

    is_unavailable = False

    def __init__(
        self,
        accepted: Accepted,
        key: base.IdempotencyKey | None,
        clock: Clock,
        on_end: "Callable[[MemoryJournal], None]",
    ) -> None:
        self._clock = clock
        self._on_end = on_end
        self._listeners: list[base.Listener] = []
        self.idempotency_key = key
        self.entries: list[Entry] = []
        self.bytes = 0
        self.ended_at: float | None = None
        self.append(accepted)

    def append(self, fact: Fact) -> bool:
        """Append a fact; see ``Journal``."""
        if self.ended_at is not None:
            return False
        entry = Entry(self._clock(), fact)
        self.entries.append(entry)
        # A character takes one to four bytes in memory; two is an estimate that needs no encoded copy of the text.
        text = fact.request if isinstance(fact, Accepted) else text_of(fact)
        self.bytes += _ENTRY_OVERHEAD_BYTES + (len(text) if text.isascii() else 2 * len(text))
        if is_ending(fact):
            self.ended_at = entry.at
            self._on_end(self)
        for listener in tuple(self._listeners):
            listener()
        return True

    def subscribe(self, listener: base.Listener) -> None:
        """Register a listener."""
        self._listeners.append(listener)

    def unsubscribe(self, listener: base.Listener) -> None:
        """Remove a listener."""
        self._listeners.remove(listener)

    def has_remote_subscribers(self) -> bool:
        """Return ``False``: no other process can read the journal."""
        return False

    def refresh(self) -> None:
        """Return at once: facts are visible as soon as they are appended."""


class MemoryJournalStore:
    """Store of all unfinished runs, and of finished ones within ``retention`` seconds and ``retention_bytes``."""

    is_shared = False
    process_count = 1

    def __init__(self, clock: Clock, retention: float, retention_bytes: int) -> None:
        self.answers = MemoryAnswerStore(clock)
        self._clock = clock
        self._retention = retention
        self._retention_bytes = retention_bytes
        self._journals: dict[str, MemoryJournal] = {}
        self._by_owner: dict[str, dict[str, MemoryJournal]] = {}
        self._by_key: dict[tuple[str, str], MemoryJournal] = {}
        self._finished: OrderedDict[str, MemoryJournal] = OrderedDict()
        self._finished_bytes = 0
        self._secret = secrets.token_urlsafe(32)
        self._tombstones: OrderedDict[str, None] = OrderedDict()

    def create(self, accepted: Accepted, idempotency_key: base.IdempotencyKey | None) -> tuple[base.Journal, bool]:
        """Create a journal, or return the one that holds the idempotency key."""
        self._evict_expired()
        if idempotency_key is not None and (known := self._find_by_key(accepted.owner, idempotency_key)) is not None:
            return known, False
        journal = MemoryJournal(accepted, idempotency_key, self._clock, self._retain)
        self._journals[accepted.run_id] = journal
        self._by_owner.setdefault(accepted.owner, {})[accepted.run_id] = journal
        if idempotency_key is not None:
            self._by_key[accepted.owner, idempotency_key.key] = journal
        return journal, True

    def find_by_key(self, owner: str, idempotency_key: base.IdempotencyKey) -> base.Journal | None:
        """Return the journal that holds the idempotency key, if any."""
        self._evict_expired()
        return self._find_by_key(owner, idempotency_key)

    def _find_by_key(self, owner: str, idempotency_key: base.IdempotencyKey) -> base.Journal | None:
        journal = self._by_key.get((owner, idempotency_key.key)) if idempotency_key.joins else None
        held = None if journal is None else journal.idempotency_key
        if held is not None and held.fingerprint != idempotency_key.fingerprint:
            raise Conflict(base.KEY_CONFLICT_MESSAGE)
        return journal

    def find(self, run_id: str) -> base.Journal:
        """Return a journal as of now."""
        self._evict_expired()
        journal = self._journals.get(run_id)
        if journal is not None:
            return journal
        raise base.not_found_error(run_id, run_id in self._tombstones, self._retention, self._clock())

    def follow(self, run_id: str) -> base.Journal:
        """Return a journal that keeps growing."""
        return self.find(run_id)

    def list_for_owner(self, owner: str, before: str | None, limit: int) -> Sequence[base.Journal]:
        """Return an owner's journals, newest first."""
        self._evict_expired()
        journals = self._by_owner.get(owner, {})
        run_ids = (run_id for run_id in sorted(journals, reverse=True) if before is None or run_id < before)
        return [journals[run_id] for run_id in islice(run_ids, limit)]

    def new_durations(self) -> Sequence[tuple[str, FinishedRun]]:
        """Return none: no other process has runs here."""
        return ()

    def delete(self, journal: base.Journal) -> None:
        """Delete the journal of a run that has ended."""
        run_id = run_terms(journal.entries).run_id
        if (finished := self._finished.get(run_id)) is not None:
            self._evict(run_id, finished)

    def secret(self) -> str:
        """Return the secret of this process."""
        return self._secret

    def unavailable_services(self) -> Sequence[str]:
        """Return no names: the memory is always available."""
        return ()

    def close(self) -> None:
        """Do nothing: the memory is released with the process."""

    def _retain(self, journal: "MemoryJournal") -> None:
        self._finished[run_terms(journal.entries).run_id] = journal
        self._finished_bytes += journal.bytes

    def _evict_expired(self) -> None:
        while self._finished:
            run_id, journal = next(iter(self._finished.items()))
            expired = journal.ended_at is not None and journal.ended_at + self._retention < self._clock()
            if not expired and self._finished_bytes <= self._retention_bytes:
                break
            self._evict(run_id, journal)

    def _evict(self, run_id: str, journal: "MemoryJournal") -> None:
        del self._finished[run_id], self._journals[run_id]
        self._finished_bytes -= journal.bytes
        owner = run_terms(journal.entries).owner
        journals = self._by_owner[owner]
        del journals[run_id]
        if not journals:
            del self._by_owner[owner]
        # A later run may have taken the key over, and may be evicted already.
        held = journal.idempotency_key
        if held is not None and self._by_key.get((owner, held.key)) is journal:
            del self._by_key[owner, held.key]
        self._add_tombstone(run_id)

    def _add_tombstone(self, run_id: str) -> None:
        """Record that a run is gone, until its id implies that."""
        self._tombstones[run_id] = None
        now = self._clock()
        while self._tombstones:
            oldest = next(iter(self._tombstones))
            if len(self._tombstones) <= _MAX_TOMBSTONES and not base.is_expired(oldest, self._retention, now):
                break
            del self._tombstones[oldest]

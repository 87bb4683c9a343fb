"""Journals in the memory of this process: lost with it, read by nobody else, and faster than anything."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import islice

from persona_stream.core.clock import Clock
from persona_stream.core.facts import Accepted, Entry, Fact, is_ending, text_of
from persona_stream.errors import Conflict
from persona_stream.journals.base import (
    KEY_CONFLICT_MESSAGE,
    IdempotencyKey,
    Journal,
    Listener,
    is_expired,
    not_found_error,
    run_terms,
)

_ENTRY_BYTES = 200  # about what an entry takes beside its text
_TOMBSTONES = 100_000  # runs trimmed early that are remembered as gone, unless their name alone says so


class MemoryJournal:
    """Keep one run's facts in a list."""

    __slots__ = ("_clock", "_listeners", "_on_end", "bytes", "claim", "ended_at", "entries")

    is_unavailable = False

    def __init__(
        self, first: Fact, claim: IdempotencyKey | None, clock: Clock, on_end: Callable[[MemoryJournal], None]
    ) -> None:
        self._clock, self._on_end, self.claim = clock, on_end, claim
        self._listeners: list[Listener] = []
        self.entries: list[Entry] = []
        self.bytes = 0
        self.ended_at: float | None = None
        self.append(first)

    def append(self, fact: Fact) -> bool:
        if self.ended_at is not None:
            return False
        entry = Entry(self._clock(), fact)
        self.entries.append(entry)
        # A character takes one to four bytes in memory; utf-8 is a fair guess that costs no second copy of ASCII.
        text = text_of(fact)
        self.bytes += _ENTRY_BYTES + (len(text) if text.isascii() else 2 * len(text))
        if is_ending(fact):
            self.ended_at = entry.at
            self._on_end(self)
        for listener in tuple(self._listeners):
            listener()
        return True

    def subscribe(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def unsubscribe(self, listener: Listener) -> None:
        self._listeners.remove(listener)

    def has_remote_subscribers(self) -> bool:
        return False

    def refresh(self) -> None:
        pass  # what is kept shows at once


class MemoryJournalStore:
    """Keep every run that has not ended, and ended ones within ``retention`` seconds and ``retention_bytes``."""

    is_shared = False
    process_count = 1

    def __init__(self, clock: Clock, retention: float, retention_bytes: int) -> None:
        self._clock, self._retention, self._retention_bytes = clock, retention, retention_bytes
        self._journals: dict[str, MemoryJournal] = {}
        self._owned: dict[str, dict[str, MemoryJournal]] = {}
        self._claims: dict[tuple[str, str], MemoryJournal] = {}
        self._ended: OrderedDict[str, MemoryJournal] = OrderedDict()
        self._ended_bytes = 0
        self._secret = secrets.token_urlsafe(32)
        self._tombstones: OrderedDict[str, None] = OrderedDict()

    def create(self, accepted: Accepted, claim: IdempotencyKey | None) -> tuple[Journal, bool]:
        if claim is not None and (known := self.find_by_key(accepted.owner, claim)) is not None:
            return known, False
        self._evict_expired()
        journal = MemoryJournal(accepted, claim, self._clock, self._retain)
        self._journals[accepted.run_id] = journal
        self._owned.setdefault(accepted.owner, {})[accepted.run_id] = journal
        if claim is not None:
            self._claims[accepted.owner, claim.key] = journal
        return journal, True

    def find_by_key(self, owner: str, claim: IdempotencyKey) -> Journal | None:
        self._evict_expired()
        journal = self._claims.get((owner, claim.key)) if claim.joins else None
        if journal is not None and journal.claim is not None and journal.claim.fingerprint != claim.fingerprint:
            raise Conflict(KEY_CONFLICT_MESSAGE)
        return journal

    def find(self, run_id: str) -> Journal:
        self._evict_expired()
        journal = self._journals.get(run_id)
        if journal is not None:
            return journal
        raise not_found_error(run_id, run_id in self._tombstones, self._retention, self._clock())

    def follow(self, run_id: str) -> Journal:
        return self.find(run_id)

    def list_for_owner(self, owner: str, before: str | None, limit: int) -> Sequence[Journal]:
        self._evict_expired()
        owned = self._owned.get(owner, {})
        older = (run_id for run_id in sorted(owned, reverse=True) if before is None or run_id < before)
        return [owned[run_id] for run_id in islice(older, limit)]

    def secret(self) -> str:
        return self._secret

    def unavailable_services(self) -> Sequence[str]:
        return ()

    def close(self) -> None:
        """Leave it to the end of the process."""

    def _retain(self, journal: MemoryJournal) -> None:
        self._ended[run_terms(journal).run_id] = journal
        self._ended_bytes += journal.bytes

    def _evict_expired(self) -> None:
        while self._ended:
            run_id, journal = next(iter(self._ended.items()))
            expired = journal.ended_at is not None and journal.ended_at + self._retention < self._clock()
            if not expired and self._ended_bytes <= self._retention_bytes:
                break
            self._evict(run_id, journal)

    def _evict(self, run_id: str, journal: MemoryJournal) -> None:
        del self._ended[run_id], self._journals[run_id]
        self._ended_bytes -= journal.bytes
        owner = run_terms(journal).owner
        owned = self._owned[owner]
        del owned[run_id]
        if not owned:
            del self._owned[owner]
        # A later run may have taken its key, and may be forgotten already.
        if journal.claim is not None and self._claims.get((owner, journal.claim.key)) is journal:
            del self._claims[owner, journal.claim.key]
        self._add_tombstone(run_id)

    def _add_tombstone(self, run_id: str) -> None:
        """Remember that a run is gone, for as long as its name does not say so."""
        self._tombstones[run_id] = None
        now = self._clock()
        while self._tombstones:
            oldest = next(iter(self._tombstones))
            if len(self._tombstones) <= _TOMBSTONES and not is_expired(oldest, self._retention, now):
                break
            del self._tombstones[oldest]

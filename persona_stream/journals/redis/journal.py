"""One run's facts: those that Redis has, and those that are on their way there."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import msgspec

from persona_stream.core import facts
from persona_stream.core.clock import Clock
from persona_stream.core.facts import Entry, Fact, Failed, is_ending
from persona_stream.journals.base import IdempotencyKey, Listener

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode


class JournalBackend(Protocol):
    """Do for a journal what takes Redis."""

    @property
    def is_unavailable(self) -> bool:
        """Whether Redis is out of reach."""
        ...

    def enqueue(self, journal: RedisJournal) -> None:
        """Write what it offers, soon."""
        ...

    def untrack(self, journal: RedisJournal) -> None:
        """See that nobody listens to it any more."""
        ...

    def has_remote_subscribers(self, run_id: str) -> bool:
        """Tell whether other processes follow it."""
        ...

    def facts_from(self, run_id: str, index: int) -> list[bytes]:
        """Give what Redis has of a run, from fact ``index`` on."""
        ...


class RedisJournal:
    """Keep what is known here of one run.

    Attributes:
        entries: the facts that Redis is known to have.
        runs_here: whether this process runs it; then what is here can bring back what Redis has lost.
        claim: what it was begun under, for that case.
    """

    __slots__ = ("_clock", "_closed", "_keeper", "_listeners", "_offered", "claim", "entries", "missing_since",
                 "run_id", "runs_here")  # fmt: skip

    def __init__(
        self,
        run_id: str,
        entries: list[Entry],
        keeper: JournalBackend,
        clock: Clock,
        claim: IdempotencyKey | None = None,
        *,
        runs_here: bool,
    ) -> None:
        self.run_id, self.entries, self.claim, self.runs_here = run_id, entries, claim, runs_here
        self.missing_since: float | None = None  # when Redis was first seen without it
        self._keeper, self._clock = keeper, clock
        self._offered: deque[tuple[Entry, bytes]] = deque()
        self._closed = False  # an ending is on its way
        self._listeners: list[Listener] = []

    @property
    def is_unavailable(self) -> bool:
        return self._keeper.is_unavailable

    def append(self, fact: Fact) -> bool:
        if self._closed or facts.has_ended(self.entries):
            return False
        entry = Entry(self._clock(), fact)
        self._offered.append((entry, _encode(entry)))
        self._closed = is_ending(fact)
        self._keeper.enqueue(self)
        return True

    def subscribe(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def unsubscribe(self, listener: Listener) -> None:
        self._listeners.remove(listener)
        if not self._listeners:
            self._keeper.untrack(self)

    def has_remote_subscribers(self) -> bool:
        return self._keeper.has_remote_subscribers(self.run_id)

    def refresh(self) -> None:
        self.subscribe(_nothing)  # else it could be let go of meanwhile, and whoever waits here would follow it in vain
        try:
            known = len(self.entries)
            self.apply(known, self._keeper.facts_from(self.run_id, known))
        finally:
            self.unsubscribe(_nothing)

    @property
    def has_listeners(self) -> bool:
        """Whether anybody here wants to hear of it."""
        return bool(self._listeners)

    @property
    def pending(self) -> Sequence[bytes]:
        """The facts that Redis is not known to have, oldest first, as it keeps them."""
        return [encoded for _, encoded in self._offered]

    @property
    def waiting_since(self) -> float | None:
        """The moment of the oldest fact that is on its way."""
        return self._offered[0][0].at if self._offered else None

    @property
    def committed(self) -> list[bytes]:
        """The facts that Redis is known to have had, as it keeps them."""
        return [_encode(entry) for entry in self.entries]

    @property
    def is_ending(self) -> bool:
        """Whether it has an ending, or one is on its way."""
        return self._closed or facts.has_ended(self.entries)

    def apply(self, index: int, encoded: Sequence[bytes]) -> None:
        """Take facts that Redis has, from fact ``index`` on: some may be known, and some may be our own."""
        if facts.has_ended(self.entries):
            return
        grown = []
        for each in encoded[max(0, len(self.entries) - index) :]:
            if self._offered and self._offered[0][1] == each:
                self._offered.popleft()
            grown.append(_decode(each))
        self._extend(grown)

    def mark_lost(self) -> None:
        """End it for those who read it here: nobody can tell any more how it ended."""
        self._extend([Entry(self._clock(), Failed("lost"))])

    def _extend(self, grown: Sequence[Entry]) -> None:
        if not grown:
            return
        self.entries += grown
        self.missing_since = None
        if facts.has_ended(self.entries):
            # What is still on its way comes after an ending: it never happened.
            self._offered.clear()
        for listener in tuple(self._listeners):
            listener()


def _nothing() -> None:
    """Listen to no purpose."""


def decode_entries(encoded: Sequence[bytes]) -> list[Entry]:
    """Read facts as Redis keeps them."""
    return [_decode(each) for each in encoded]

"""Every run in the log of requests: with what was asked, what came back, how long each stage took, and who read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from persona_stream.core.facts import Accepted, Entry, is_ending, terms
from persona_stream.core.query import Upstream
from persona_stream.notes import Asked, Began, Note, Raw, Reading, Responded
from persona_stream.order import Order
from persona_stream.store import Store
from persona_stream.store.records import RunBegan, RunEnded, RunRead, RunResponded


class RequestLog:
    """Have the store keep what happens to runs, as it happens."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._orders: dict[str, Order] = {}  # of runs whose first fact is not there yet
        self._upstream: dict[str, list[Upstream]] = {}  # of runs that have not ended
        self._raw: dict[str, Any] = {}

    def observe(self, entries: Sequence[Entry]) -> None:
        fact = entries[-1].fact
        if isinstance(fact, Accepted):
            if (order := self._orders.pop(fact.run_id, None)) is not None:
                self._store.keep(RunBegan(entries[-1], order))
        elif is_ending(fact):
            run_id = terms(entries).run_id
            upstream, raw = tuple(self._upstream.pop(run_id, ())), self._raw.pop(run_id, None)
            self._store.keep(RunEnded(entries, upstream, raw))

    def note(self, run_id: str, note: Note) -> None:
        match note:
            case Began(order=order):
                self._orders[run_id] = order
                self._upstream[run_id] = []
            case Asked(upstream=upstream) if run_id in self._upstream:
                self._upstream[run_id].append(upstream)
            case Raw(value=value) if run_id in self._upstream:
                self._raw[run_id] = value
            case Responded():
                self._store.keep(RunResponded(run_id, note))
            case Reading():
                self._store.keep(RunRead(run_id, note))

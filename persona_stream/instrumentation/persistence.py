"""Every run in the log of requests: with what was asked, what came back, how long each stage took, and who read it.

Each question and its answer in the conversation that they belong to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from persona_stream.core.facts import Accepted, Entry, is_ending, terms
from persona_stream.core.query import Query, Upstream
from persona_stream.db.base import Store
from persona_stream.db.records import Exchanged, RunBegan, RunEnded, RunRead, RunResponded
from persona_stream.runs.observer import Asked, Began, Note, Raw, Reading, Responded
from persona_stream.runs.request import Order


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


class Conversations:
    """Have the store keep what was said, when a run has ended.

    Clients of foreign dialects keep their conversations themselves, and send them whole each time.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked: dict[str, Query] = {}

    def observe(self, entries: Sequence[Entry]) -> None:
        if is_ending(entries[-1].fact) and (query := self._asked.pop(terms(entries).run_id, None)) is not None:
            self._store.keep(Exchanged(query, entries))

    def note(self, run_id: str, note: Note) -> None:
        if isinstance(note, Began) and note.order.origin.dialect == "native":
            self._asked[run_id] = note.order.query

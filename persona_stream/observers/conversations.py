"""Each question and its answer in the conversation that they belong to."""

from __future__ import annotations

from collections.abc import Sequence

from persona_stream.core.facts import Entry, is_ending, terms
from persona_stream.core.query import Query
from persona_stream.notes import Began, Note
from persona_stream.store import Store
from persona_stream.store.records import Exchanged


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

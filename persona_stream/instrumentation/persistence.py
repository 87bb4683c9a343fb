"""Every run in the log of requests: with what was asked, what came back, how long each stage took, and who read it.

Each question and its answer in the conversation that they belong to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from persona_stream.core.facts import Accepted, Entry, is_ending, run_terms
from persona_stream.core.query import Query, UpstreamCall
from persona_stream.db.base import Store
from persona_stream.db.records import ExchangeCompleted, RunAccepted, RunDelivered, RunFinished, RunResponded
from persona_stream.runs.observer import (
    Notification,
    RawResponse,
    ResponseSent,
    RunStarted,
    SubscriptionClosed,
    UpstreamCalled,
)
from persona_stream.runs.request import RunRequest


class RequestLogObserver:
    """Have the store keep what happens to runs, as it happens."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._orders: dict[str, RunRequest] = {}  # of runs whose first fact is not there yet
        self._upstream: dict[str, list[UpstreamCall]] = {}  # of runs that have not ended
        self._raw: dict[str, Any] = {}

    def on_fact(self, entries: Sequence[Entry]) -> None:
        fact = entries[-1].fact
        if isinstance(fact, Accepted):
            if (order := self._orders.pop(fact.run_id, None)) is not None:
                self._store.enqueue(RunAccepted(entries[-1], order))
        elif is_ending(fact):
            run_id = run_terms(entries).run_id
            upstream, raw = tuple(self._upstream.pop(run_id, ())), self._raw.pop(run_id, None)
            self._store.enqueue(RunFinished(entries, upstream, raw))

    def on_notification(self, run_id: str, note: Notification) -> None:
        match note:
            case RunStarted(order=order):
                self._orders[run_id] = order
                self._upstream[run_id] = []
            case UpstreamCalled(upstream=upstream) if run_id in self._upstream:
                self._upstream[run_id].append(upstream)
            case RawResponse(value=value) if run_id in self._upstream:
                self._raw[run_id] = value
            case ResponseSent():
                self._store.enqueue(RunResponded(run_id, note))
            case SubscriptionClosed():
                self._store.enqueue(RunDelivered(run_id, note))


class ConversationObserver:
    """Have the store keep what was said, when a run has ended.

    Clients of foreign dialects keep their conversations themselves, and send them whole each time.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked: dict[str, Query] = {}

    def on_fact(self, entries: Sequence[Entry]) -> None:
        if is_ending(entries[-1].fact) and (query := self._asked.pop(run_terms(entries).run_id, None)) is not None:
            self._store.enqueue(ExchangeCompleted(query, entries))

    def on_notification(self, run_id: str, note: Notification) -> None:
        if isinstance(note, RunStarted) and note.order.request_info.dialect == "native":
            self._asked[run_id] = note.order.query

"""Records that the store writes: one type for each event that changes the database.

A record holds the values as they are. The writer thread turns it into rows, so that no request pays for it.

Invariants:
    * This module does not import SQLAlchemy: observers and routes use it on servers without a database.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from persona_stream.core.facts import Entry
from persona_stream.core.query import Query, UpstreamCall
from persona_stream.runs.base import ResponseSent, RunRequest, SubscriptionClosed


class Privacy(Struct, frozen=True):
    """Texts of a request that the log may keep."""

    bodies: bool = True
    reasoning: bool = True


class RunAccepted(Struct, frozen=True):
    """Start of a run: its first journal entry and its request."""

    entry: Entry
    run_request: RunRequest


class RunResponded(Struct, frozen=True):
    """Response head of the request that started a run."""

    run_id: str
    response: ResponseSent


class RunFinished(Struct, frozen=True):
    """End of a run: all its entries, its calls to providers, and the raw response of its backend."""

    entries: Sequence[Entry]
    upstream: tuple[UpstreamCall, ...]
    raw: Any


class RunDelivered(Struct, frozen=True):
    """Subscription to a run that has closed."""

    run_id: str
    subscription: SubscriptionClosed


class ExchangeCompleted(Struct, frozen=True):
    """Question of a conversation with its answer, or with the part of it that was produced."""

    query: Query
    entries: Sequence[Entry]


class DeletedConversation(Struct, frozen=True):
    """Deletion of a conversation by its owner."""

    owner: str
    conversation_id: str


class DeletedOwner(Struct, frozen=True):
    """Deletion of all data of an owner."""

    owner: str


class RetentionSweep(Struct, frozen=True):
    """Deletion of the runs before one id, and closing of unfinished runs before another one as lost."""

    before: str
    over_before: str


Deletion = DeletedConversation | DeletedOwner | RetentionSweep
Record = RunAccepted | RunResponded | RunFinished | RunDelivered | ExchangeCompleted | Deletion

PRIORITY_RECORDS = (ExchangeCompleted, DeletedConversation, DeletedOwner)
"""Records that users miss, or with which they have asked for a deletion."""

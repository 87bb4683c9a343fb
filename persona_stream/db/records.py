"""What can be kept: a kind of record for each moment at which something is written.

A record holds what is known as it is, and is made into rows where that holds nobody up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from persona_stream.core.facts import Entry
from persona_stream.core.query import Query, UpstreamCall
from persona_stream.runs.observer import ResponseSent, SubscriptionClosed
from persona_stream.runs.request import RunRequest


class Privacy(Struct, frozen=True):
    """Say what of a request's texts the log may keep."""

    bodies: bool = True
    reasoning: bool = True


class RunAccepted(Struct, frozen=True):
    """A run was accepted: its first entry, and what was ordered."""

    entry: Entry
    order: RunRequest


class RunResponded(Struct, frozen=True):
    """The request for a run was answered with this head."""

    run_id: str
    head: ResponseSent


class RunFinished(Struct, frozen=True):
    """A run has its ending: all its entries, what was asked of providers, and what the backend kept of its own."""

    entries: Sequence[Entry]
    upstream: tuple[UpstreamCall, ...]
    raw: Any


class RunDelivered(Struct, frozen=True):
    """Somebody read a run, and left."""

    run_id: str
    reading: SubscriptionClosed


class ExchangeCompleted(Struct, frozen=True):
    """A question of a conversation has its answer, or what there is of one."""

    query: Query
    entries: Sequence[Entry]


class DeletedConversation(Struct, frozen=True):
    """An owner wants a conversation deleted."""

    owner: str
    conversation_id: str


class DeletedOwner(Struct, frozen=True):
    """All that is kept of an owner is to be deleted."""

    owner: str


class RetentionSweep(Struct, frozen=True):
    """Runs of the log before this name are to be deleted; those before the other one are over, whoever ran them."""

    before: str
    over_before: str


Record = (
    RunAccepted
    | RunResponded
    | RunFinished
    | RunDelivered
    | ExchangeCompleted
    | DeletedConversation
    | DeletedOwner
    | RetentionSweep
)

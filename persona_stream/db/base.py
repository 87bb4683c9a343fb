"""Contract of the store that keeps conversations and the request log beyond the life of a run, and its records.

There is one type of record for each event that changes the database. A record holds the values as they are; the writer
thread turns it into rows, so that no request pays for it.

Invariants:
    * ``enqueue`` returns at once. Records are written later, in order and in batches, by a thread of their own; the
      event loop does not take part, and no stream waits.
    * A database outage loses nothing as long as the waiting records fit into memory. Beyond that bound the newest
      records are dropped and counted; records of conversations have twice the space.
    * ``query`` makes the greenlet wait for a thread that reads.
    * This module does not import SQLAlchemy: observers and routes use it on servers without a database.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from msgspec import Struct

from persona_stream.core.facts import Entry
from persona_stream.core.query import Query, UpstreamCall
from persona_stream.errors import Unavailable
from persona_stream.runs.base import ResponseSent, RunRequest, SubscriptionClosed

T = TypeVar("T")

FLUSH_TIMEOUT = 5.0  # seconds
"""Seconds that a request waits for its records to be written."""


class Privacy(Struct, frozen=True):
    """Texts of a run that the log and the conversations may keep."""

    bodies: bool = True
    reasoning: bool = True
    history_reasoning: Literal["off", "summary", "full"] = "off"  # beside the answer, in conversations


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


class DeletedRun(Struct, frozen=True):
    """Deletion of a run by its owner."""

    owner: str
    run_id: str


class DeletedOwner(Struct, frozen=True):
    """Deletion of all data of an owner."""

    owner: str


class RetentionSweep(Struct, frozen=True):
    """Deletion of the runs before one id, and closing of unfinished runs before another one as lost."""

    before: str
    over_before: str


Deletion = DeletedConversation | DeletedRun | DeletedOwner | RetentionSweep
Record = RunAccepted | RunResponded | RunFinished | RunDelivered | ExchangeCompleted | Deletion

PRIORITY_RECORDS = (ExchangeCompleted, DeletedConversation, DeletedRun, DeletedOwner)
"""Records that users miss, or with which they have asked for a deletion."""


class Store:
    """Store of records, with queries over them; this base class has no database and drops every record."""

    has_database = False

    @property
    def pending(self) -> int:
        """Number of records that are not written yet."""
        return 0

    @property
    def dropped(self) -> int:
        """Number of records lost because the queue was full during an outage."""
        return 0

    def enqueue(self, record: Record) -> None:
        """Enqueue a record for the writer thread. Never blocks or raises."""

    def flush(self, seconds: float = FLUSH_TIMEOUT) -> None:
        """Wait until every record enqueued so far is written; raise ``Unavailable`` after ``seconds``."""

    def query(self, question: Callable[[Any], T]) -> T:
        """Call a function with an SQLAlchemy connection in a thread that may block, and return its result.

        Raises:
            Unavailable: the database is unavailable, or there is none.
        """
        off = "This server keeps no conversations and no request log: database_url is off"
        raise Unavailable(off, retry_after=3600)

    def load_history(self, query: Query) -> Query:
        """Return a query with the history of its conversation. Waits, and raises ``Unavailable``, as ``query`` does."""
        return query

    def unavailable_services(self) -> Sequence[str]:
        """Return the name of the database during an outage, else nothing."""
        return ()

    @property
    def is_damaged(self) -> bool:
        """Whether data of the database is damaged, which does not pass by itself."""
        return False

    def close(self, seconds: float) -> None:
        """Write the pending records, for at most so many seconds without progress, and close the database."""

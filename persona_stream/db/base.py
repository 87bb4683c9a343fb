"""Contract of the store that keeps conversations and the request log beyond the life of a run.

Invariants:
    * ``enqueue`` returns at once. Records are written later, in order and in batches, by a thread of their own; the
      event loop does not take part, and no stream waits.
    * A database outage loses nothing as long as the waiting records fit into memory. Beyond that bound the newest
      records are dropped and counted; records of conversations have twice the space.
    * ``query`` makes the greenlet wait for a thread that reads.
    * This module does not import SQLAlchemy.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from persona_stream.core.query import Query
from persona_stream.db.records import Record
from persona_stream.errors import Unavailable

T = TypeVar("T")

FLUSH_TIMEOUT = 5.0  # seconds
"""Seconds that a request waits for its records to be written."""


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
        """Wait until every record enqueued so far is written.

        Raises:
            Unavailable: it took longer than ``seconds``.
        """

    def query(self, question: Callable[[Any], T]) -> T:
        """Call a function with an SQLAlchemy connection in a thread that may block, and return its result.

        Raises:
            Unavailable: the database is unavailable, or there is none.
        """
        off = "This server keeps no conversations and no request log: database_url is off"
        raise Unavailable(off, retry_after=3600)

    def load_history(self, query: Query) -> Query:
        """Return a query with the history of its conversation. Waits as ``query`` does.

        Raises:
            Unavailable: the database is unavailable.
        """
        return query

    def unavailable_services(self) -> Sequence[str]:
        """Return the name of the database during an outage, else nothing."""
        return ()

    def close(self, seconds: float) -> None:
        """Write the pending records, for at most so many seconds without progress, and close the database."""

"""What outlives the runs: conversations, and a log of requests.

The contract of a ``Store``:

* ``keep`` takes a record and comes back at once. Records are written a moment later, in the order in which they came,
  many at a time, by a thread of its own; nothing of that happens in the hub, and no stream waits for it.
* A database that is away loses nothing while the records that wait fit into memory. Beyond that bound the log loses
  what is newest, and says how much; conversations last twice as long.
* ``ask`` waits, in a greenlet, for what a thread reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from persona_stream.core.query import Query
from persona_stream.db.records import Record
from persona_stream.errors import Unavailable

T = TypeVar("T")

FLUSH_TIMEOUT = 5.0
"""Seconds that what was kept may take to be written, where somebody waits for it."""


class Store(Protocol):
    """Keep records, and look them up again."""

    def enqueue(self, record: Record) -> None:
        """Have a record written soon. Never waits and never raises."""
        ...

    def flush(self, seconds: float = FLUSH_TIMEOUT) -> None:
        """Wait until what was kept before is written.

        Raises:
            Unavailable: that took longer.
        """
        ...

    def query(self, question: Callable[[Any], T]) -> T:
        """Give what ``question`` makes of a connection of SQLAlchemy's, in a thread that may block.

        Raises:
            Unavailable: the database is out of reach.
        """
        ...

    def load_history(self, query: Query) -> Query:
        """Complete a query with what was said before in its conversation. Waits as ``ask`` does.

        Raises:
            Unavailable: the database is out of reach.
        """
        ...

    def unavailable_services(self) -> Sequence[str]:
        """Name the database, when it is out of reach."""
        ...

    @property
    def pending(self) -> int:
        """How many records are not written yet."""
        ...

    @property
    def dropped(self) -> int:
        """How many records were lost, because the database was away for too long."""
        ...

    def close(self, seconds: float) -> None:
        """Write what waits, for so many seconds at most, and let go of the database."""
        ...


class NullStore:
    """Keep nothing."""

    pending = dropped = 0

    def enqueue(self, record: Record) -> None:
        pass

    def flush(self, seconds: float = FLUSH_TIMEOUT) -> None:
        pass

    def query(self, question: Callable[[Any], T]) -> T:
        raise Unavailable("This server keeps no conversations and no log: its database_url is off", retry_after=3600)

    def load_history(self, query: Query) -> Query:
        return query

    def unavailable_services(self) -> Sequence[str]:
        return ()

    def close(self, seconds: float) -> None:
        pass

"""Store in an SQL database: one thread writes, several read, and the event loop waits for none of them."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError

from persona_stream.core.clock import Clock
from persona_stream.core.query import Query
from persona_stream.db.base import FLUSH_TIMEOUT, Store
from persona_stream.db.conversations import MAX_HISTORY_TOKENS, load_turns
from persona_stream.db.engine import CONNECTION_ERRORS, DatabaseThreads, error_summary, unavailable_error
from persona_stream.db.migrate import ensure_schema
from persona_stream.db.records import Record
from persona_stream.db.statements import Write
from persona_stream.db.writer import BatchWriter
from persona_stream.errors import ConfigurationError

logger = logging.getLogger("persona_stream.store")

T = TypeVar("T")

READ_THREADS = 4
CONNECTIONS = READ_THREADS + 1
OPEN_TIMEOUT = 5.0  # seconds
QUERY_TIMEOUT = 10.0  # seconds
_SERVICE_NAME = "database"


class SqlStore(Store):
    """Store in an SQL database."""

    has_database = True

    def __init__(self, engine: Engine, write: Write, clock: Clock, *, max_bytes: int) -> None:
        """Open the store. It starts during an outage too, and writes when the database is available.

        Raises:
            ConfigurationError: the tables have another revision, or the database rejects its configuration.
        """
        self._engine = engine
        self._readers = DatabaseThreads(READ_THREADS)
        self._writer = BatchWriter(engine, write, self._prepare, clock, max_bytes=max_bytes)
        self._is_prepared = False
        try:
            self._writer.thread.run(self._prepare, OPEN_TIMEOUT)
        except CONNECTION_ERRORS as error:
            self._writer.mark_unavailable(error)
        except ConfigurationError:
            engine.dispose()
            raise
        except DatabaseError as error:
            engine.dispose()
            raise ConfigurationError(f"database_url: {error_summary(error)}") from None
        self._writer.start()

    def enqueue(self, record: Record) -> None:
        """Enqueue a record for the writer thread."""
        self._writer.enqueue(record)

    def flush(self, seconds: float = FLUSH_TIMEOUT) -> None:
        """Wait until every record enqueued so far is written."""
        self._writer.flush(seconds)

    def query(self, question: Callable[[Connection], T]) -> T:
        """Call a function with a connection in a reading thread."""

        def run_query() -> T:
            with self._engine.connect() as connection:
                return question(connection)

        if not self._is_prepared:
            raise unavailable_error()
        try:
            return self._readers.run(run_query, QUERY_TIMEOUT)
        except CONNECTION_ERRORS as error:
            logger.warning("the database does not respond: %s", error_summary(error))
            raise unavailable_error() from None

    def load_history(self, query: Query) -> Query:
        """Return a query with the history of its conversation."""
        self.flush()
        owner = query.principal.subject
        turns = self.query(lambda connection: load_turns(connection, owner, query.conversation_id, MAX_HISTORY_TOKENS))
        return replace(query, history=tuple(turns))

    def unavailable_services(self) -> Sequence[str]:
        """Return ``database`` during an outage."""
        return (_SERVICE_NAME,) if self._writer.is_unavailable else ()

    @property
    def pending(self) -> int:
        """Number of records that are not written yet."""
        return len(self._writer.queue)

    @property
    def dropped(self) -> int:
        """Number of records that did not fit into the queue."""
        return self._writer.queue.dropped

    def close(self, seconds: float) -> None:
        """Write the pending records, and close the database."""
        self._writer.close(seconds)
        self._readers.stop()

    def _prepare(self) -> None:
        if not self._is_prepared:
            ensure_schema(self._engine)
            self._is_prepared = True

"""The store in a database: one thread writes, a few read, and the hub waits for none of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError

from persona_stream.core.clock import Clock
from persona_stream.core.query import Query
from persona_stream.db.base import FLUSH_TIMEOUT
from persona_stream.db.conversations import MOST_TOKENS, load_turns
from persona_stream.db.engine import CONNECTION_ERRORS, DatabaseThreads, error_summary, unavailable_error
from persona_stream.db.migrate import ensure_schema
from persona_stream.db.records import Record
from persona_stream.db.statements import Write
from persona_stream.db.writer import BatchWriter
from persona_stream.errors import ConfigurationError

logger = logging.getLogger("persona_stream.store")

T = TypeVar("T")

READERS = 4
CONNECTIONS = READERS + 1
_OPENED, _ASKED = 5.0, 10.0  # seconds that opening it, and a question, may take
_NAME = "database"


class SqlStore:
    """Keep records in a database."""

    def __init__(self, engine: Engine, write: Write, clock: Clock, *, most_bytes: int) -> None:
        """Open it.

        A database that is away is waited for; one that is there must be fit.

        Raises:
            ConfigurationError: its tables are of another version.
        """
        self._engine, self._readers = engine, DatabaseThreads(READERS)
        self._scribe = BatchWriter(engine, write, self._prepare, clock, most_bytes=most_bytes)
        self._is_prepared = False
        try:
            self._scribe.thread.run(self._prepare, _OPENED)
        except CONNECTION_ERRORS as error:
            self._scribe.mark_unavailable(error)
        except ConfigurationError:
            engine.dispose()
            raise
        except DatabaseError as error:
            engine.dispose()
            raise ConfigurationError(f"database_url: {error_summary(error)}") from None
        self._scribe.begin()

    def enqueue(self, record: Record) -> None:
        self._scribe.enqueue(record)

    def flush(self, seconds: float = FLUSH_TIMEOUT) -> None:
        self._scribe.flush(seconds)

    def query(self, question: Callable[[Connection], T]) -> T:
        def asked() -> T:
            with self._engine.connect() as connection:
                return question(connection)

        if not self._is_prepared:
            raise unavailable_error()
        try:
            return self._readers.run(asked, _ASKED)
        except CONNECTION_ERRORS as error:
            logger.warning("the database does not answer: %s", error_summary(error))
            raise unavailable_error() from None

    def load_history(self, query: Query) -> Query:
        self.flush()
        owner, conversation_id = query.principal.subject, query.conversation_id
        before = self.query(lambda connection: load_turns(connection, owner, conversation_id, MOST_TOKENS))
        return replace(query, history=tuple(before))

    def unavailable_services(self) -> Sequence[str]:
        return (_NAME,) if self._scribe.is_away else ()

    @property
    def pending(self) -> int:
        return len(self._scribe.backlog)

    @property
    def dropped(self) -> int:
        return self._scribe.backlog.dropped

    def close(self, seconds: float) -> None:
        self._scribe.close(seconds)
        self._readers.stop()

    def _prepare(self) -> None:
        if not self._is_prepared:
            ensure_schema(self._engine)
            self._is_prepared = True

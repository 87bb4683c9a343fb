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
from persona_stream.db.base import SETTLED
from persona_stream.db.conversations import MOST_TOKENS, turns
from persona_stream.db.engine import AWAY, Threads, said, unavailable
from persona_stream.db.migrate import prepare
from persona_stream.db.records import Record
from persona_stream.db.statements import Write
from persona_stream.db.writer import Scribe
from persona_stream.errors import StartError

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
            StartError: its tables are of another version.
        """
        self._engine, self._readers = engine, Threads(READERS)
        self._scribe = Scribe(engine, write, self._prepare, clock, most_bytes=most_bytes)
        self._is_prepared = False
        try:
            self._scribe.thread.call(self._prepare, _OPENED)
        except AWAY as error:
            self._scribe.away(error)
        except StartError:
            engine.dispose()
            raise
        except DatabaseError as error:
            engine.dispose()
            raise StartError(f"database_url: {said(error)}") from None
        self._scribe.begin()

    def keep(self, record: Record) -> None:
        self._scribe.keep(record)

    def settle(self, seconds: float = SETTLED) -> None:
        self._scribe.settle(seconds)

    def ask(self, question: Callable[[Connection], T]) -> T:
        def asked() -> T:
            with self._engine.connect() as connection:
                return question(connection)

        if not self._is_prepared:
            raise unavailable()
        try:
            return self._readers.call(asked, _ASKED)
        except AWAY as error:
            logger.warning("the database does not answer: %s", said(error))
            raise unavailable() from None

    def recall(self, query: Query) -> Query:
        self.settle()
        owner, conversation_id = query.principal.subject, query.conversation_id
        before = self.ask(lambda connection: turns(connection, owner, conversation_id, MOST_TOKENS))
        return replace(query, history=tuple(before))

    def missing(self) -> Sequence[str]:
        return (_NAME,) if self._scribe.is_away else ()

    @property
    def waiting(self) -> int:
        return len(self._scribe.backlog)

    @property
    def dropped(self) -> int:
        return self._scribe.backlog.dropped

    def close(self, seconds: float) -> None:
        self._scribe.close(seconds)
        self._readers.stop()

    def _prepare(self) -> None:
        if not self._is_prepared:
            prepare(self._engine)
            self._is_prepared = True

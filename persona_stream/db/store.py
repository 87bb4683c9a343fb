"""Store in an SQL database: one thread writes, several read, and the event loop waits for none of them.

Invariants:
    * Records are written in order, and each once: a batch whose reply was lost is recognised by its number.
    * The write queue is bounded in bytes. During a long outage the newest records are dropped, and counted.
    * A record that cannot be written does not keep others from being written.
"""

import logging
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TypeVar

import gevent
from gevent.event import Event
from sqlalchemy import Connection, Engine, exc, select

from persona_stream.concurrency import Wakeup
from persona_stream.core.clock import Clock
from persona_stream.core.facts import text_of
from persona_stream.core.query import Query
from persona_stream.db import base, queries
from persona_stream.db.engine import (
    CONNECTION_ERRORS,
    DamagedDatabase,
    DatabaseThreads,
    create_missing_file,
    ensure_schema,
    error_summary,
    is_file_missing,
    unavailable_error,
)  # fmt: skip
from persona_stream.db.statements import Write
from persona_stream.db.tables import writers
from persona_stream.errors import ConfigurationError

logger = logging.getLogger("persona_stream.store")

T = TypeVar("T")

READ_THREADS = 4
CONNECTIONS = READ_THREADS + 1
OPEN_TIMEOUT = 5.0  # seconds
QUERY_TIMEOUT = 10.0  # seconds
_SERVICE_NAME = "database"
RECORD_BYTES = 1_000  # about the size of a record without its texts
ENTRY_BYTES = 300  # about the size of a journal entry without its text
GATHER_INTERVAL = 0.25  # seconds that a record waits for others of its batch
BATCH_SIZE = 250  # records; small enough that the writing thread does not hold the interpreter lock for long
RETRY_DELAYS = (0.5, 1.0, 2.0, 5.0)  # seconds between attempts during an outage
IDLE_TIMEOUT = 60.0  # seconds
DISPOSE_TIMEOUT = 1.0  # seconds


class WriteQueue:
    """Queue of records, bounded to ``max_bytes``; for priority records, to twice as much."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._records: deque[tuple[base.Record, int]] = deque()
        self._bytes = 0
        self.enqueued = 0  # records that were added
        self.written = 0  # records that were removed because they are written
        self.dropped = 0  # records that did not fit

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: base.Record) -> None:
        """Add a record, or drop it if the queue is full."""
        size = _record_size(record)
        bound = 2 * self._max_bytes if isinstance(record, base.PRIORITY_RECORDS) else self._max_bytes
        if self._bytes + size > bound:
            if not self.dropped:
                logger.error("the write queue is full: records of the log are being dropped until the database is back")
            self.dropped += 1
            return
        self._records.append((record, size))
        self._bytes += size
        self.enqueued += 1

    def peek(self, count: int) -> Sequence[base.Record]:
        """Return the oldest records without removing them."""
        return [record for record, _ in islice(self._records, count)]

    def pop(self, count: int) -> None:
        """Remove the oldest records, which are written."""
        for _ in range(count):
            self._bytes -= self._records.popleft()[1]
        self.written += count
        if not self._records and self.dropped:
            logger.error("the write queue is empty again: %d records of the log were dropped", self.dropped)


def _record_size(record: base.Record) -> int:
    match record:
        case base.RunAccepted(run_request=run_request):  # its query has the texts of the body again
            content = sum(len(attachment.url) for attachment in run_request.query.attachments)
            texts = len(run_request.request_info.body) + 2 * len(run_request.query.message)
            return 4 * RECORD_BYTES + texts + content
        case base.RunFinished(entries=entries) | base.ExchangeCompleted(entries=entries):
            return RECORD_BYTES + sum(ENTRY_BYTES + 2 * len(text_of(entry.fact)) for entry in entries)
        case _:
            return RECORD_BYTES


class BatchWriter:
    """Writer of queued records, with a thread of its own for the database."""

    def __init__(
        self, engine: Engine, write: Write, prepare: Callable[[], None], clock: Clock, *, max_bytes: int
    ) -> None:
        """Create a writer that writes nothing before ``start``; ``prepare`` ensures that the tables exist."""
        self.queue = WriteQueue(max_bytes)
        self.thread = DatabaseThreads(1)
        self.is_unavailable = False  # whether the last attempt to write failed because of an outage
        self.is_damaged = False  # whether data is damaged, as far as known
        self._engine = engine
        self._write = write
        self._prepare = prepare
        self._clock = clock
        self._is_closing = False
        self._writer_id = secrets.token_hex(16)
        self._batch = 0
        self._record_added = Wakeup()
        self._flush_requested = Wakeup()
        self._batch_written = Event()

    def start(self) -> None:
        """Start the greenlet that writes batches."""
        self._writing = gevent.spawn(self._run)

    def enqueue(self, record: base.Record) -> None:
        """Enqueue a record. Never blocks."""
        self.queue.add(record)
        self._record_added.set()

    def flush(self, seconds: float) -> None:
        """Wait until every record enqueued so far is written; raise ``Unavailable`` after so many seconds."""
        deadline = self._clock() + seconds
        target = self.queue.enqueued
        self._flush_requested.set()
        while self.queue.written < target:
            remaining = deadline - self._clock()
            if remaining <= 0:
                raise unavailable_error()
            self._batch_written.wait(remaining)

    def close(self, seconds: float) -> None:
        """Write the pending records, for at most so many seconds without progress, and close the database."""
        self._is_closing = True
        self._record_added.set()
        self._flush_requested.set()
        written = -1
        while self.queue and self.queue.written != written:
            written = self.queue.written
            self._writing.join(seconds)
        if self.queue:
            logger.error("%d records could not be written to the database", len(self.queue))
        self._writing.kill(block=False)
        # In the same thread, after its current statement: its connection cannot be closed earlier.
        with suppress(TimeoutError):
            self.thread.run(self._engine.dispose, DISPOSE_TIMEOUT)
        self.thread.stop()

    def mark_unavailable(self, error: Exception) -> None:
        """Record an outage, and log the first error of it."""
        if isinstance(error, DamagedDatabase) and not self.is_damaged:
            logger.error("the database is damaged, records are queued until it is repaired: %s", error_summary(error))
            self.is_damaged = True
        elif not self.is_unavailable:
            logger.warning("the database is unavailable, records are queued: %s", error_summary(error))
        self.is_unavailable = True

    def _run(self) -> None:
        failures = 0
        attempted = 0
        while True:
            if not self.queue:
                if self._is_closing:
                    return
                self._record_added.wait(IDLE_TIMEOUT)
                continue
            if len(self.queue) < BATCH_SIZE and not self._is_closing:
                self._flush_requested.wait(GATHER_INTERVAL)
            # A retry repeats the same records: if the failed attempt was committed, later records were not part of it.
            batch = self.queue.peek(attempted or BATCH_SIZE)
            try:
                written = self._write_all(batch)
            except CONNECTION_ERRORS as error:
                self.mark_unavailable(error)
                gevent.sleep(RETRY_DELAYS[min(failures, len(RETRY_DELAYS) - 1)])
                failures += 1
                attempted = len(batch)
                continue
            if self.is_unavailable:
                logger.warning("the database is available again")
            self.is_unavailable = False
            self.is_damaged = False
            failures = 0
            attempted = 0
            self._batch += 1
            self.queue.pop(written)
            written_event = self._batch_written
            self._batch_written = Event()
            written_event.set()

    def _write_all(self, batch: Sequence[base.Record]) -> int:
        """Write a batch, or the part of it before an outage; return the number of records written."""
        try:
            return self.thread.run(partial(self._write_batch, batch))
        except CONNECTION_ERRORS:
            raise
        except Exception:  # one record is at fault, and must not keep the others from being written
            logger.exception("a batch of records could not be written: writing them one by one")
            return self.thread.run(partial(self._write_each, batch))

    def _write_batch(self, batch: Sequence[base.Record]) -> int:
        """Write a batch unless it is committed already: the reply to a commit may have been lost."""
        self._prepare()
        with self._engine.begin() as connection:
            if not self._is_committed(connection):
                self._write(connection, batch)
        return len(batch)

    def _write_each(self, batch: Sequence[base.Record]) -> int:
        for written, record in enumerate(batch):
            try:
                with self._engine.begin() as connection:
                    self._write(connection, [record])
            except CONNECTION_ERRORS:
                if not written:
                    raise
                return written
            except Exception:  # the record at fault, whatever the error is
                logger.exception("a %s could not be written", type(record).__name__)
        return len(batch)

    def _is_committed(self, connection: Connection) -> bool:
        is_own = writers.c.writer == self._writer_id
        last_batch = connection.scalar(select(writers.c.batch).where(is_own))
        if last_batch == self._batch:
            return True
        row = {"batch": self._batch, "at": self._clock()}
        if last_batch is None:
            connection.execute(writers.insert().values(writer=self._writer_id, **row))
        else:
            connection.execute(writers.update().where(is_own).values(**row))
        return False


class SqlStore(base.Store):
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
        except DamagedDatabase as error:
            engine.dispose()
            raise ConfigurationError(f"database_url: {error}; repair or move {engine.url.database}") from None
        except CONNECTION_ERRORS as error:
            self._writer.mark_unavailable(error)
        except ConfigurationError:
            engine.dispose()
            raise
        except exc.DatabaseError as error:
            engine.dispose()
            raise ConfigurationError(f"database_url: {error_summary(error)}") from None
        self._writer.start()

    def enqueue(self, record: base.Record) -> None:
        """Enqueue a record for the writer thread."""
        self._writer.enqueue(record)

    def flush(self, seconds: float = base.FLUSH_TIMEOUT) -> None:
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
            if isinstance(error, DamagedDatabase):
                self._writer.mark_unavailable(error)
            else:
                logger.warning("the database does not respond: %s", error_summary(error))
            raise unavailable_error() from None

    def load_history(self, query: Query) -> Query:
        """Return a query with the history of its conversation."""
        self.flush()
        owner = query.principal.subject
        turns = self.query(lambda connection: queries.load_turns(connection, owner, query.conversation_id))
        return replace(query, history=tuple(turns))

    def unavailable_services(self) -> Sequence[str]:
        """Return ``database`` during an outage."""
        return (_SERVICE_NAME,) if self._writer.is_unavailable else ()

    @property
    def is_damaged(self) -> bool:
        """Whether data of the database is damaged."""
        return self._writer.is_damaged

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
        is_missing = is_file_missing(self._engine)
        if is_missing and self._is_prepared:
            logger.error("the database file %s is missing: creating a new one", self._engine.url.database)
        if is_missing or self._writer.is_damaged:
            self._engine.dispose()  # an operator may have replaced the file, or removed it
            self._is_prepared = False
        if not self._is_prepared:
            create_missing_file(self._engine)
            ensure_schema(self._engine)
            self._is_prepared = True

"""Write records, many at a time, in a thread of its own; wait for a database that is away.

Records that wait to be written: bounded, so that a database that is away for long does not take all memory.
"""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice

import gevent
from gevent.event import Event
from sqlalchemy import Connection, Engine, select

from persona_stream.concurrency import Wakeup
from persona_stream.core.clock import Clock
from persona_stream.core.facts import text_of
from persona_stream.db.engine import CONNECTION_ERRORS, DatabaseThreads, error_summary, unavailable_error
from persona_stream.db.records import (
    DeletedConversation,
    DeletedOwner,
    ExchangeCompleted,
    Record,
    RunAccepted,
    RunFinished,
)
from persona_stream.db.statements import Write
from persona_stream.db.tables import writers

logger = logging.getLogger("persona_stream.store")

_RECORD_BYTES, _ENTRY_BYTES = 1_000, 300  # about what one takes beside its texts
# What a person would miss, or has asked for, is kept for longer than what an operator would look at.
_PRIORITY_RECORDS = (ExchangeCompleted, DeletedConversation, DeletedOwner)


class WriteQueue:
    """Keep records in their order, up to ``most_bytes``; of what a person would miss, up to twice that."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._records: deque[tuple[Record, int]] = deque()
        self._bytes = 0
        self.enqueued = self.written = self.dropped = 0

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: Record) -> None:
        """Add a record, or drop it."""
        size = _size(record)
        bound = 2 * self._most_bytes if isinstance(record, _PRIORITY_RECORDS) else self._most_bytes
        if self._bytes + size > bound:
            if not self.dropped:
                logger.error("the database is away for too long: the log loses what comes now")
            self.dropped += 1
            return
        self._records.append((record, size))
        self._bytes += size
        self.enqueued += 1

    def peek(self, count: int) -> Sequence[Record]:
        """Give the oldest, and keep them."""
        return [record for record, _ in islice(self._records, count)]

    def pop(self, count: int) -> None:
        """Let go of the oldest, for they are written."""
        for _ in range(count):
            self._bytes -= self._records.popleft()[1]
        self.written += count
        if not self._records and self.dropped:
            logger.error("the database is back: the log has lost %d records", self.dropped)


def _size(record: Record) -> int:
    match record:
        case RunAccepted(order=order):
            # Its query holds the body's texts once more, and the headers are strings of their own.
            return 4 * _RECORD_BYTES + len(order.request_info.body) + 2 * len(order.query.message)
        case RunFinished(entries=entries) | ExchangeCompleted(entries=entries):
            return _RECORD_BYTES + sum(_ENTRY_BYTES + 2 * len(text_of(entry.fact)) for entry in entries)
        case _:
            return _RECORD_BYTES


logger = logging.getLogger("persona_stream.store")

_GATHERED = 0.25  # seconds that records wait for others, to be written with them
_AT_A_TIME = 250  # few enough that the thread that writes them does not hold the interpreter for long
_PAUSES = (0.5, 1.0, 2.0, 5.0)  # seconds between tries while the database is away
_CLOSED = 1.0  # seconds that closing it may take


class BatchWriter:
    """Write what is kept, in its order, and each record once.

    Attributes:
        backlog: what is not written yet.
        thread: the one that writes.
        is_away: whether the database is out of reach.
    """

    def __init__(
        self, engine: Engine, write: Write, prepare: Callable[[], None], clock: Clock, *, most_bytes: int
    ) -> None:
        """Write nothing before ``begin``.

        Args:
            engine: the way to the database.
            write: writes records on a connection.
            prepare: is called in the thread before each batch, and sees that the tables are there.
            clock: tells the moment.
            most_bytes: how much may wait.
        """
        self._engine, self._write, self._prepare, self._clock = engine, write, prepare, clock
        self.backlog, self.thread = WriteQueue(most_bytes), DatabaseThreads(1)
        self.is_away = self._is_closing = False
        self._name, self._batch = secrets.token_hex(16), 0
        self._came, self._hurry, self._wrote = Wakeup(), Wakeup(), Event()

    def begin(self) -> None:
        """Write from now on, in a greenlet."""
        self._writing = gevent.spawn(self._run)

    def enqueue(self, record: Record) -> None:
        """Have a record written soon."""
        self.backlog.add(record)
        self._came.set()

    def flush(self, seconds: float) -> None:
        """Wait until what was kept before is written.

        Raises:
            Unavailable: that took longer.
        """
        until, wanted = self._clock() + seconds, self.backlog.enqueued
        self._hurry.set()
        while self.backlog.written < wanted:
            left = until - self._clock()
            if left <= 0:
                raise unavailable_error()
            self._wrote.wait(left)

    def close(self, seconds: float) -> None:
        """Write what waits, but for no more than so many seconds without success, and let go of the database."""
        self._is_closing = True
        self._came.set()
        self._hurry.set()
        taken = -1
        while self.backlog and self.backlog.written != taken:
            taken = self.backlog.written
            self._writing.join(seconds)
        if self.backlog:
            logger.error("%d records could not be written to the database", len(self.backlog))
        self._writing.kill(block=False)
        # Behind what that thread is writing now, whose connection could not be closed before.
        with suppress(TimeoutError):
            self.thread.run(self._engine.dispose, _CLOSED)
        self.thread.stop()

    def mark_unavailable(self, error: Exception) -> None:
        """Hear that the database is out of reach."""
        if not self.is_away:
            logger.warning("the database is out of reach, and records wait: %s", error_summary(error))
        self.is_away = True

    def _run(self) -> None:
        tries = tried = 0
        while True:
            if not self.backlog:
                if self._is_closing:
                    return
                self._came.wait(60.0)
                continue
            if len(self.backlog) < _AT_A_TIME and not self._is_closing:
                self._hurry.wait(_GATHERED)
            # The same as before, where that may have been written: what has come since then was not.
            batch = self.backlog.peek(tried or _AT_A_TIME)
            try:
                written = self._write_all(batch)
            except CONNECTION_ERRORS as error:
                self.mark_unavailable(error)
                gevent.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
                tries, tried = tries + 1, len(batch)
                continue
            if self.is_away:
                logger.warning("the database is back")
            self.is_away, tries, tried = False, 0, 0
            self._batch += 1
            self.backlog.pop(written)
            wrote, self._wrote = self._wrote, Event()
            wrote.set()

    def _write_all(self, batch: Sequence[Record]) -> int:
        """Write a batch, or as much of it as the database takes before it is away; give how many that are."""
        try:
            return self.thread.run(partial(self._write_batch, batch))
        except CONNECTION_ERRORS:
            raise
        except Exception:  # one of them is to blame, and must not keep the others from being written
            logger.exception("records could not be written together: writing them one by one")
            return self.thread.run(partial(self._write_each, batch))

    def _write_batch(self, batch: Sequence[Record]) -> int:
        """Write a batch, unless it is there already: its reply may have been lost on the way."""
        self._prepare()
        with self._engine.begin() as connection:
            if not self._is_written(connection):
                self._write(connection, batch)
        return len(batch)

    def _write_each(self, batch: Sequence[Record]) -> int:
        for written, record in enumerate(batch):
            try:
                with self._engine.begin() as connection:
                    self._write(connection, [record])
            except CONNECTION_ERRORS:
                if not written:
                    raise
                return written
            except Exception:  # the one that is to blame, whatever is wrong with it
                logger.exception("a %s could not be written", type(record).__name__)
        return len(batch)

    def _is_written(self, connection: Connection) -> bool:
        mine = writers.c.writer == self._name
        last = connection.scalar(select(writers.c.batch).where(mine))
        if last == self._batch:
            return True
        row = {"batch": self._batch, "at": self._clock()}
        if last is None:
            connection.execute(writers.insert().values(writer=self._name, **row))
        else:
            connection.execute(writers.update().where(mine).values(**row))
        return False

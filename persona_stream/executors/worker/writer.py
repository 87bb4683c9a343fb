"""Writer of a worker's messages to its server, and the log handler that uses it.

Notifications are sent in batches: the first one of a query at once, since its code may go on to hold the interpreter
lock; later ones after at most 50 ms, so that a chatty backend cannot keep the server busy. Log lines are limited in
their rate and length for the same reason.
"""

import errno
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby

from persona_stream.core import coalescing, facts
from persona_stream.core.query import UpstreamCall
from persona_stream.executors.worker import protocol
from persona_stream.logging import MAX_LOG_RATE, ExceptionFormatter, LineQuota, current_run_id

logger = logging.getLogger("persona_stream.executors")

BATCH_INTERVAL = 0.05  # seconds
MAX_LOG_CHARACTERS = 20_000


class _Outbox:
    """Notifications of one query that wait for the next batch."""

    __slots__ = ("items", "report", "sent_at", "upstream_bytes")

    def __init__(self) -> None:
        self.items: list[protocol.Notification] = []
        self.report: facts.ProgressReported | None = None  # only the latest one is sent
        self.sent_at = 0.0
        self.upstream_bytes = 0

    def add(self, item: protocol.Notification) -> None:
        if isinstance(item, protocol.Report):
            self.report = coalescing.merge_reports(self.report, item.message, item.fraction)
        else:
            self.items.append(item)

    def take(self, number: int) -> bytes:
        """Return the frame of the waiting notifications, or no bytes if there are none."""
        if not (self.items or self.report):
            return b""
        report = [protocol.Report(self.report.message, self.report.fraction)] if self.report else ()
        items = (*report, *_join_parts(self.items))
        self.items = []
        self.report = None
        self.upstream_bytes = 0
        self.sent_at = time.monotonic()
        return protocol.to_frame(protocol.encode(protocol.Notifications(number, items)))


class MessageWriter:
    """Writer of messages to the server, for all threads of the worker."""

    def __init__(self, connection: socket.socket, max_item_bytes: int) -> None:
        """Create the writer; notifications of calls to providers over ``max_item_bytes`` are dropped."""
        self._connection = connection
        self._max_item_bytes = max_item_bytes
        self._pid = os.getpid()
        self._lock = threading.RLock()  # writing may cause a log line
        self._outboxes: dict[int, _Outbox] = {}
        self._has_items = threading.Event()
        threading.Thread(target=self._flush_later, name="persona_stream writer", daemon=True).start()

    @property
    def is_forked(self) -> bool:
        """Whether this process was forked by the backend: it has the connection, and must not write to it."""
        return os.getpid() != self._pid

    def send(self, message: protocol.Message) -> None:
        """Send a message that belongs to no query."""
        self._write(lambda: protocol.to_frame(protocol.encode(message)))

    def begin(self, number: int) -> None:
        """Accept the notifications of a query."""
        self._outboxes[number] = _Outbox()

    def end(self, number: int, payload: bytes) -> None:
        """Send the encoded end of a query, after its notifications; later ones are dropped, and so is a second end."""
        self._write(lambda: self._end_of(number, payload))

    def _end_of(self, number: int, payload: bytes) -> bytes:
        outbox = self._outboxes.pop(number, None)
        return b"" if outbox is None else outbox.take(number) + protocol.to_frame(payload)

    def forget(self, number: int) -> None:
        """Drop the notifications of a query that has not started and never will."""
        self._outboxes.pop(number, None)

    def notify(self, number: int, item: protocol.Notification) -> None:
        """Send a notification of a query with the next batch. Any thread may call this."""
        if self.is_forked or (outbox := self._outboxes.get(number)) is None:
            return
        with self._lock:
            outbox.add(item)
            is_due = time.monotonic() - outbox.sent_at >= BATCH_INTERVAL
        if is_due:
            self._write(partial(outbox.take, number))
        else:
            self._has_items.set()

    def notify_upstream_call(self, number: int, call: UpstreamCall) -> None:
        """Send a call to a provider with the next batch, unless that becomes too large.

        Raises:
            TypeError: a value has the wrong type.
        """
        item = protocol.Upstream(protocol.to_json_like_call(call))
        payload = protocol.encode(protocol.Notifications(number, (item,)))
        outbox = self._outboxes.get(number)
        if outbox is not None and outbox.upstream_bytes + len(payload) <= self._max_item_bytes:
            try:
                protocol.decode(payload)  # otherwise the server would end this process for an invalid message
            except ValueError as error:
                raise TypeError(f"the record of a call to a provider has a wrong type: {error}") from None
            outbox.upstream_bytes += len(payload)
            self.notify(number, item)

    def _flush_later(self) -> None:
        while True:
            self._has_items.wait()
            self._has_items.clear()
            time.sleep(BATCH_INTERVAL)
            self._write(self._take_all)

    def _take_all(self) -> bytes:
        return b"".join([outbox.take(number) for number, outbox in list(self._outboxes.items())])

    def _write(self, encode: Callable[[], bytes]) -> None:
        # Forking while another thread holds the lock leaves it locked in the child: hence the check before it.
        if self.is_forked:
            return
        with self._lock:
            try:
                self._connection.sendall(encode())
            except OSError as error:
                # Otherwise the server is gone, which ends this process too, after its exit handlers.
                if error.errno in (errno.EBADF, errno.ENOTSOCK):  # the backend has closed all files
                    os._exit(1)


def _join_parts(items: list[protocol.Notification]) -> Iterator[protocol.Notification]:
    """Yield the items, with consecutive parts of a kind joined."""
    for kind, group in groupby(items, key=type):
        if kind is protocol.Text or kind is protocol.Reasoning:
            yield kind(b"".join(item.data for item in group))  # type: ignore[union-attr]
        else:
            yield from group


class LogHandler(logging.Handler):
    """Log handler that sends the lines to the server's log."""

    def __init__(self, writer: MessageWriter) -> None:
        super().__init__()
        self._writer = writer
        self.run_id = ""  # of the only query, for threads that it has started
        self._formatter = ExceptionFormatter("%(message)s")
        self._quota = LineQuota(self._on_dropped)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line."""
        try:
            text = self._formatter.format(record)
            if self._writer.is_forked:
                sys.stderr.write(f"{record.levelname} {record.name}: {text}\n")
                return
            if not self._quota.admits(record.created):
                return
            if len(text) > MAX_LOG_CHARACTERS:
                text = f"{text[:MAX_LOG_CHARACTERS]}... ({len(text):,} characters)"
            run_id = str(getattr(record, "run_id", "") or current_run_id.get() or self.run_id)
            self._writer.send(protocol.LogRecord(record.name, record.levelno, text, record.created, run_id))
        except Exception:  # noqa: BLE001 - a line that cannot be written must not fail the code that logs it
            self.handleError(record)

    def _on_dropped(self, count: int) -> None:
        text = f"{count:,} log lines were dropped: a worker may write {MAX_LOG_RATE:,} per second"
        self._writer.send(protocol.LogRecord(logger.name, logging.WARNING, text, time.time(), ""))

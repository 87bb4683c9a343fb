"""What a worker says: in order, from any of its threads, and what a query tells in batches.

The first word goes out at once, from the thread that says it: it may go on with code that holds the interpreter lock.
What follows within 50 ms waits for the next batch, so that nobody can keep the server busy by talking.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from itertools import groupby
from threading import Event, RLock, Thread
from typing import Any

from msgspec import structs

from persona_stream.core.query import Upstream
from persona_stream.executors.processes.codec import encode, framed, plain
from persona_stream.executors.processes.frames import Logged, Reasoning, Report, Text, Told
from persona_stream.logging import current_run

_EVERY = 0.05  # seconds

_What = Text | Reasoning | Report | Upstream


class Outbox:
    """Write to the server."""

    def __init__(self, connection: socket.socket, limit: int) -> None:
        """Begin.

        Args:
            connection: to the server.
            limit: how many bytes of one thing told are worth sending.
        """
        self._connection, self._limit = connection, limit
        self._process = os.getpid()
        self._lock = RLock()  # whoever writes may be made to log
        self._number = 0  # of the query that tells
        self._told: list[Text | Reasoning | Upstream] = []
        self._report: Report | None = None  # the latest; what a report says takes its time anyway
        self._told_at = 0.0
        self._is_late = Event()
        Thread(target=self._tell_later, name="persona_stream outbox", daemon=True).start()

    def send(self, message: object) -> None:
        """Say this now, after what was told before.

        Raises:
            Unsendable: there is something in it that must not leave this process.
        """
        self.send_encoded(encode(message))

    def send_encoded(self, payload: bytes) -> None:
        """Say what is encoded already."""
        with self._lock:
            self._flush()
            self._write(payload)

    def listen_to(self, number: int) -> None:
        """Take what this query tells, and nothing any more of the one before: a thread of its may live on."""
        with self._lock:
            self._flush()
            self._number = number

    def tell(self, number: int, what: _What) -> None:
        """Take what a query tells. Any thread may call this."""
        with self._lock:
            if number != self._number:
                return
            self._take(what)
            if time.monotonic() - self._told_at >= _EVERY:
                self._flush()
                return
        self._is_late.set()

    def tell_upstream(self, number: int, upstream: Upstream) -> None:
        """Take what was asked of a provider, unless it is too large for a note."""
        note = structs.replace(upstream, request=plain(upstream.request), response=plain(upstream.response))
        if len(encode(note)) <= self._limit:
            self.tell(number, note)

    def _take(self, what: _What) -> None:
        if not isinstance(what, Report):
            self._told.append(what)
        elif (before := self._report) is None:
            self._report = what
        else:
            # An empty message, or no fraction, leaves what the report before it said.
            fraction = before.fraction if what.fraction is None else what.fraction
            self._report = Report(what.message or before.message, fraction)

    def _tell_later(self) -> None:
        while True:
            self._is_late.wait()
            self._is_late.clear()
            time.sleep(_EVERY)
            with self._lock:
                self._flush()

    def _flush(self) -> None:
        if self._told or self._report:
            told, self._told = self._told, []
            report, self._report = self._report, None
            self._write(encode(Told(self._number, (*([report] if report else []), *_joined(told)))))
            self._told_at = time.monotonic()

    def _write(self, payload: bytes) -> None:
        # A child that was forked by a stranger's code has this connection too, and must not speak for us.
        if os.getpid() == self._process:
            self._connection.sendall(framed(payload))


def _joined(told: list[Text | Reasoning | Upstream]) -> Iterator[Text | Reasoning | Upstream]:
    """Make one of texts of a kind that follow each other."""
    for kind, group in groupby(told, key=type):
        if kind is Upstream:
            yield from group
        else:
            text = "".join(each.text for each in group if not isinstance(each, Upstream))
            yield Text(text) if kind is Text else Reasoning(text)


class Handler(logging.Handler):
    """Send what is logged here to the server's log."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__()
        self._outbox = outbox
        self.run_id = ""  # of the query that is under way, for threads that it began
        self._writer = logging.Formatter("%(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line."""
        try:
            run_id: Any = getattr(record, "run_id", "") or current_run.get() or self.run_id
            message = self._writer.format(record)
            self._outbox.send(Logged(record.name, record.levelno, message, record.created, str(run_id)))
        except Exception:  # noqa: BLE001 - a line that cannot be written must not end what logs it
            self.handleError(record)

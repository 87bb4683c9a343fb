"""The process that a server asks.

A query runs in the main thread, where SIGTERM can end it with its ``finally`` blocks. Another thread listens
meanwhile, and ends the process when the server is gone.

What a worker says: in order, from any of its threads, and what a query tells in batches.

The first word goes out at once, from the thread that says it: it may go on with code that holds the interpreter lock.
What follows within 50 ms waits for the next batch, so that nobody can keep the server busy by talking.
"""

from __future__ import annotations

import ctypes
import logging
import os
import pickle
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, replace
from itertools import groupby
from threading import Event, RLock, Thread
from typing import Any, Protocol

from msgspec import structs

from persona_stream.core.query import Answer, CancelSignal, Query, QueryContext, UpstreamCall
from persona_stream.errors import BackendError, BackendUnavailable, ConfigurationError
from persona_stream.executors.process import protocol as codec
from persona_stream.executors.process import protocol as frames
from persona_stream.executors.process.protocol import (
    LogRecord,
    Notifications,
    Reasoning,
    Report,
    Text,
    encode,
    framed,
    plain,
)
from persona_stream.logging import current_run_id

_EVERY = 0.05  # seconds

_What = Text | Reasoning | Report | UpstreamCall


class MessageWriter:
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
        self._told: list[Text | Reasoning | UpstreamCall] = []
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

    def set_current_query(self, number: int) -> None:
        """Take what this query tells, and nothing any more of the one before: a thread of its may live on."""
        with self._lock:
            self._flush()
            self._number = number

    def notify(self, number: int, what: _What) -> None:
        """Take what a query tells. Any thread may call this."""
        with self._lock:
            if number != self._number:
                return
            self._take(what)
            if time.monotonic() - self._told_at >= _EVERY:
                self._flush()
                return
        self._is_late.set()

    def tell_upstream(self, number: int, upstream: UpstreamCall) -> None:
        """Take what was asked of a provider, unless it is too large for a note."""
        note = structs.replace(upstream, request=plain(upstream.request), response=plain(upstream.response))
        if len(encode(note)) <= self._limit:
            self.notify(number, note)

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
            self._write(encode(Notifications(self._number, (*([report] if report else []), *_joined(told)))))
            self._told_at = time.monotonic()

    def _write(self, payload: bytes) -> None:
        # A child that was forked by a stranger's code has this connection too, and must not speak for us.
        if os.getpid() == self._process:
            self._connection.sendall(framed(payload))


def _joined(told: list[Text | Reasoning | UpstreamCall]) -> Iterator[Text | Reasoning | UpstreamCall]:
    """Make one of texts of a kind that follow each other."""
    for kind, group in groupby(told, key=type):
        if kind is UpstreamCall:
            yield from group
        else:
            text = "".join(each.text for each in group if not isinstance(each, UpstreamCall))
            yield Text(text) if kind is Text else Reasoning(text)


class Handler(logging.Handler):
    """Send what is logged here to the server's log."""

    def __init__(self, outbox: MessageWriter) -> None:
        super().__init__()
        self._outbox = outbox
        self.run_id = ""  # of the query that is under way, for threads that it began
        self._writer = logging.Formatter("%(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line."""
        try:
            run_id: Any = getattr(record, "run_id", "") or current_run_id.get() or self.run_id
            message = self._writer.format(record)
            self._outbox.send(LogRecord(record.name, record.levelno, message, record.created, str(run_id)))
        except Exception:  # noqa: BLE001 - a line that cannot be written must not end what logs it
            self.handleError(record)


_STRUCTURE_BYTES = 64 * 1024  # what an answer's frame may have beside its text
_WORDS = 20_000  # characters of what went wrong
_FAREWELL = 5.0  # seconds for what a stranger's code does at the end of a process
_FILES = 65_536
_PR_SET_PDEATHSIG = 1


class _Backend(Protocol):
    def process_query(self, query: Query, /) -> object: ...


class _Flag:
    """``query.cancelled``, in a worker."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.set = self._event.set

    def __bool__(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        return self._event.wait(max(0.0, seconds))


class _WorkerContext(QueryContext):
    """Context of a query in a worker process: sends what the query reports to the server."""

    __slots__ = ("_number", "_writer", "cancelled")

    def __init__(self, writer: MessageWriter, number: int, cancelled: CancelSignal) -> None:
        self._writer = writer
        self._number = number
        self.cancelled = cancelled

    def on_progress(self, message: str, fraction: float | None) -> None:
        self._writer.notify(self._number, Report(message, fraction))

    def on_text(self, text: str) -> None:
        self._writer.notify(self._number, Text(text))

    def on_reasoning(self, text: str) -> None:
        self._writer.notify(self._number, Reasoning(text))

    def on_upstream_call(self, call: UpstreamCall) -> None:
        self._writer.tell_upstream(self._number, call)


class _Worker:
    """Answer one query after the other."""

    def __init__(self, connection: socket.socket, outbox: MessageWriter, handler: Handler, limit: int) -> None:
        self._connection, self._outbox, self._handler, self._limit = connection, outbox, handler, limit
        self._asked: queue.SimpleQueue[tuple[frames.RunQuery, _Flag] | None] = queue.SimpleQueue()
        self._number, self._flag = 0, _Flag()
        self._is_busy = self._is_told_to_stop = False

    def serve(self, backends: Mapping[str, _Backend]) -> None:
        """Serve until the server hangs up, or says to stop."""
        signal.signal(signal.SIGTERM, self._terminate)
        threading.Thread(target=self._listen, name="persona_stream worker", daemon=True).start()
        self._outbox.send(frames.Ready())
        while (asked := self._asked.get()) is not None:
            self._is_busy = True
            outcome = self._answer(backends, *asked)
            if self._is_told_to_stop:
                return
            self._is_busy = False
            self._outbox.set_current_query(0)
            self._outbox.send_encoded(outcome)

    def _listen(self) -> None:
        with suppress(OSError):
            while (frame := codec.receive(self._connection)) is not None:
                match codec.decode(frame):
                    case frames.RunQuery() as ask:
                        self._number, self._flag = ask.number, _Flag()
                        self._asked.put((ask, self._flag))
                    case frames.Cancel(number) if number == self._number:
                        self._flag.set()
        if self._is_busy:
            os._exit(1)  # nobody waits for it
        self._asked.put(None)
        time.sleep(_FAREWELL)
        os._exit(0)

    def _terminate(self, *_: object) -> None:
        if not self._is_busy:
            os._exit(0)
        self._is_told_to_stop = True
        raise SystemExit(128 + signal.SIGTERM)

    def _answer(self, backends: Mapping[str, _Backend], ask: frames.RunQuery, flag: _Flag) -> bytes:
        self._handler.run_id = ask.run_id
        current_run_id.set(ask.run_id)
        self._outbox.set_current_query(ask.number)
        try:
            context = _WorkerContext(self._outbox, ask.number, flag)
            value = backends[ask.backend].process_query(Query(**ask.query, _context=context))
            return self._returned(value)
        except BackendError as error:
            return codec.encode(frames.BackendFailed(str(error), isinstance(error, BackendUnavailable)))
        except BaseException as error:  # noqa: BLE001 - whatever a stranger's code raises ends its run, not its worker
            return codec.encode(frames.Crashed(_words(error), for_good=isinstance(error, MemoryError)))

    def _returned(self, value: object) -> bytes:
        if isinstance(value, Answer):
            raw, value = value.raw, _exactly(replace(value, raw=None))
        elif isinstance(value, str):
            raw = None
        else:
            kind = type(value).__name__
            return codec.encode(frames.Crashed(f"process_query must return a string or an Answer, and returned {kind}"))
        try:
            payload = codec.encode(frames.Result(value))
        except codec.Unsendable as error:
            return codec.encode(frames.Crashed(f"process_query returned an Answer that has {error} in it"))
        if len(payload) > self._limit + _STRUCTURE_BYTES:
            return codec.encode(frames.ResultTooLarge())
        if raw is not None and isinstance(value, Answer):
            whole = codec.encode(frames.Result(replace(value, raw=codec.plain(raw))))
            return whole if len(whole) <= codec.largest(self._limit) else payload
        return payload


def _exactly(answer: Answer) -> Answer:
    """Give an ``Answer`` of what may be a kind of its own."""
    return Answer(**{field.name: getattr(answer, field.name) for field in fields(Answer)})


def _words(error: BaseException) -> str:
    """Say what was raised, with the lines that led there; not ours, that called it."""
    frame = error.__traceback__ and error.__traceback__.tb_next
    lines = "".join(traceback.format_exception(type(error), error, frame))
    if len(lines) > _WORDS:
        lines = f"{lines[: _WORDS // 2]}\n...\n{lines[-_WORDS // 2 :]}"
    return f"process_query raised {type(error).__name__}\n{lines.rstrip()}"


def _end_with(parent: int) -> None:
    """Have this process killed when its server dies: also while it holds the interpreter lock."""
    with suppress(OSError, AttributeError):  # not every system can do it; the thread that listens is left
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it died before
        os._exit(1)


def _log_to(handler: Handler, level: int) -> None:
    logger = logging.getLogger("persona_stream")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(level)


def _make(hello: frames.Init) -> Any:
    """Make the backends.

    Raises:
        ConfigurationError: they cannot be made.
    """
    try:
        return pickle.loads(hello.make)()  # nosec B301 # noqa: S301 - it is from the server that started this process
    except ConfigurationError:
        raise
    # What is imported is a stranger's, and it may call sys.exit, which is no Exception.
    except BaseException as error:
        raise ConfigurationError("".join(traceback.format_exception(error))) from error


def main(fd: int, parent: int) -> None:
    """Be a worker of a server.

    Args:
        fd: of the connection to it.
        parent: its process.
    """
    _end_with(parent)
    os.closerange(fd + 1, _FILES)  # what others in the server let pass to children, such as a listening socket
    os.set_inheritable(fd, False)
    connection = socket.socket(fileno=fd)
    connection.setblocking(True)  # as gevent has it on the other side, a wait is an error here
    greeting = codec.receive(connection)
    if greeting is None:
        return
    hello: frames.Init = codec.decode(greeting)
    sys.path[:] = hello.paths
    outbox = MessageWriter(connection, hello.limit)
    handler = Handler(outbox)
    _log_to(handler, hello.log_level)
    try:
        backends = _make(hello)
    except ConfigurationError as error:
        outbox.send(frames.StartFailed(str(error)))
        return
    if not logging.root.handlers:  # who has set up a log of their own has it as elsewhere
        logging.root.addHandler(handler)
    with suppress(OSError):  # the server is gone
        _Worker(connection, outbox, handler, hello.limit).serve(backends)

"""Worker process: runs one query after another for its server.

A query runs in the main thread, where SIGTERM can end it with its ``finally`` blocks. Another thread reads from the
server meanwhile, and ends the process when the server is gone. Notifications are sent in batches: the first one at
once, from its own thread, since the code may go on to hold the interpreter lock; later ones after at most 50 ms, so
that a chatty backend cannot keep the server busy.
"""

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
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, replace
from itertools import groupby
from typing import Any

from msgspec import structs

from persona_stream.backends.base import Backend
from persona_stream.core.query import Answer, CancelSignal, QueryContext, UpstreamCall
from persona_stream.core.result import find_problem
from persona_stream.errors import BackendError, BackendUnavailable, ConfigurationError
from persona_stream.executors.process import protocol
from persona_stream.logging import current_run_id

BATCH_INTERVAL = 0.05  # seconds
STRUCTURE_BYTES = 64 * 1024  # of an answer's message, beside its text
MAX_DESCRIPTION_CHARACTERS = 20_000  # of a failure
EXIT_TIMEOUT = 5.0  # seconds for the backend's exit handlers
MAX_FILES = 65_536
_PR_SET_PDEATHSIG = 1


class MessageWriter:
    """Writer of messages to the server, for all threads of the worker."""

    def __init__(self, connection: socket.socket, max_item_bytes: int) -> None:
        """Create the writer; notifications of calls to providers over ``max_item_bytes`` are dropped."""
        self._connection = connection
        self._max_item_bytes = max_item_bytes
        self._pid = os.getpid()
        self._lock = threading.RLock()  # writing may cause a log line
        self._number = 0  # of the current query
        self._items: list[protocol.Notification] = []
        self._report: protocol.Report | None = None  # only the latest one is sent
        self._sent_at = 0.0
        self._has_items = threading.Event()
        threading.Thread(target=self._flush_later, name="persona_stream writer", daemon=True).start()

    def send(self, payload: bytes) -> None:
        """Send an encoded message, after all notifications so far."""
        with self._lock:
            self._flush()
            self._write(payload)

    def set_current_query(self, number: int) -> None:
        """Accept notifications of this query only: a thread of an earlier one may still run."""
        with self._lock:
            self._flush()
            self._number = number

    def notify(self, number: int, item: protocol.Notification) -> None:
        """Send a notification of a query with the next batch. Any thread may call this."""
        with self._lock:
            if number != self._number:
                return
            self._add(item)
            if time.monotonic() - self._sent_at >= BATCH_INTERVAL:
                self._flush()
                return
        self._has_items.set()

    def notify_upstream_call(self, number: int, call: UpstreamCall) -> None:
        """Send a call to a provider with the next batch, unless it is too large."""
        request = protocol.to_json_like(call.request)
        response = protocol.to_json_like(call.response)
        item = protocol.Upstream(structs.replace(call, request=request, response=response))
        if len(protocol.encode(protocol.Notifications(number, (item,)))) <= self._max_item_bytes:
            self.notify(number, item)

    def _add(self, item: protocol.Notification) -> None:
        if not isinstance(item, protocol.Report):
            self._items.append(item)
        elif (previous := self._report) is None:
            self._report = item
        else:  # an empty message, or no fraction, keeps the previous one
            fraction = previous.fraction if item.fraction is None else item.fraction
            self._report = protocol.Report(item.message or previous.message, fraction)

    def _flush_later(self) -> None:
        while True:
            self._has_items.wait()
            self._has_items.clear()
            time.sleep(BATCH_INTERVAL)
            with self._lock:
                self._flush()

    def _flush(self) -> None:
        if self._items or self._report:
            items = (*([self._report] if self._report else ()), *_join_parts(self._items))
            self._items = []
            self._report = None
            self._write(protocol.encode(protocol.Notifications(self._number, items)))
            self._sent_at = time.monotonic()

    def _write(self, payload: bytes) -> None:
        # A child forked by the backend inherits this connection, and must not write to it.
        if os.getpid() == self._pid:
            self._connection.sendall(protocol.to_frame(payload))


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
        self.run_id = ""  # of the current query, for threads that it has started
        self._formatter = logging.Formatter("%(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line."""
        try:
            run_id = str(getattr(record, "run_id", "") or current_run_id.get() or self.run_id)
            text = self._formatter.format(record)
            line = protocol.LogRecord(record.name, record.levelno, text, record.created, run_id)
            self._writer.send(protocol.encode(line))
        except Exception:  # noqa: BLE001 - a line that cannot be written must not fail the code that logs it
            self.handleError(record)


class _CancelFlag(threading.Event):
    """Cancel signal of a query in a worker."""

    __bool__ = threading.Event.is_set

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(None if timeout is None else max(0.0, timeout))


class _WorkerContext(QueryContext):
    """Context of a query in a worker: sends its notifications to the server."""

    __slots__ = ("_number", "_writer", "cancelled")

    def __init__(self, writer: MessageWriter, number: int, cancelled: CancelSignal) -> None:
        self._writer = writer
        self._number = number
        self.cancelled = cancelled

    def on_progress(self, message: str, fraction: float | None) -> None:
        self._writer.notify(self._number, protocol.Report(message, fraction))

    def on_text(self, text: str) -> None:
        self._writer.notify(self._number, protocol.Text(text.encode("utf-8", "surrogatepass")))

    def on_reasoning(self, text: str) -> None:
        self._writer.notify(self._number, protocol.Reasoning(text.encode("utf-8", "surrogatepass")))

    def on_upstream_call(self, call: UpstreamCall) -> None:
        self._writer.notify_upstream_call(self._number, call)


class _Worker:
    """Loop that runs queries until the server disconnects."""

    def __init__(
        self, connection: socket.socket, writer: MessageWriter, log_handler: LogHandler, max_answer_bytes: int
    ) -> None:
        self._connection = connection
        self._writer = writer
        self._log_handler = log_handler
        self._max_answer_bytes = max_answer_bytes
        self._queries: queue.SimpleQueue[tuple[protocol.RunQuery, _CancelFlag] | None] = queue.SimpleQueue()
        self._current = (0, _CancelFlag())
        self._is_busy = False
        self._is_terminated = False

    def run(self, backends: Mapping[str, Backend]) -> None:
        """Run queries until the server disconnects, or sends SIGTERM."""
        signal.signal(signal.SIGTERM, self._on_sigterm)
        threading.Thread(target=self._read, name="persona_stream reader", daemon=True).start()
        self._writer.send(protocol.encode(protocol.Ready()))
        while (item := self._queries.get()) is not None:
            self._is_busy = True
            payload = self._run_query(backends, *item)
            if self._is_terminated:
                return
            self._is_busy = False
            self._writer.set_current_query(0)
            self._writer.send(payload)

    def _read(self) -> None:
        with suppress(OSError):
            while (payload := protocol.receive(self._connection)) is not None:
                match protocol.decode(payload):
                    case protocol.RunQuery(number=number) as message:
                        self._current = (number, _CancelFlag())
                        self._queries.put((message, self._current[1]))
                    case protocol.Cancel(number=number) if number == self._current[0]:
                        self._current[1].set()
        if self._is_busy:
            os._exit(1)  # the result has no recipient
        self._queries.put(None)
        time.sleep(EXIT_TIMEOUT)
        os._exit(0)

    def _on_sigterm(self, *_: object) -> None:
        if not self._is_busy:
            os._exit(0)
        self._is_terminated = True
        raise SystemExit(128 + signal.SIGTERM)

    def _run_query(self, backends: Mapping[str, Backend], message: protocol.RunQuery, flag: _CancelFlag) -> bytes:
        self._log_handler.run_id = message.run_id
        current_run_id.set(message.run_id)
        self._writer.set_current_query(message.number)
        context = _WorkerContext(self._writer, message.number, flag)
        try:
            backend = backends[message.backend]
            value = backend.process_query(replace(message.query, _context=context))
            return self._encode_result(value, backend.name)
        except BackendError as error:
            is_unavailable = isinstance(error, BackendUnavailable)
            return _encode_failure("backend_unavailable" if is_unavailable else "backend_error", str(error))
        except BaseException as error:  # noqa: BLE001 - any exception of the backend ends only its run, not the worker
            return _encode_failure("out_of_memory" if isinstance(error, MemoryError) else "crashed", _describe(error))

    def _encode_result(self, value: object, name: str) -> bytes:
        if (problem := find_problem(value, name)) is not None:
            return _encode_failure("crashed", problem)
        answer: Any = value
        raw = None
        if isinstance(value, Answer):  # a subclass becomes a plain Answer
            raw = value.raw
            answer = Answer(**{field.name: getattr(value, field.name) for field in fields(Answer)} | {"raw": None})
        try:
            payload = protocol.encode(protocol.Result(answer))
            if isinstance(answer, Answer):
                protocol.decode(payload)  # checks the nested values, so that the error is raised here
        except (TypeError, ValueError, RecursionError) as error:
            return _encode_failure("crashed", f"process_query returned an Answer that cannot be sent: {error}")
        if len(payload) > self._max_answer_bytes + STRUCTURE_BYTES:
            return _encode_failure("answer_too_large")
        if raw is None:
            return payload
        whole = protocol.encode(protocol.Result(replace(answer, raw=protocol.to_json_like(raw))))
        return whole if len(whole) <= protocol.max_frame_bytes(self._max_answer_bytes) else payload


def _encode_failure(kind: protocol.FailureKind, text: str = "") -> bytes:
    return protocol.encode(protocol.Failure(kind, text))


def _describe(error: BaseException) -> str:
    """Return the exception with its traceback, without this module's own frame."""
    frame = error.__traceback__ and error.__traceback__.tb_next
    lines = "".join(traceback.format_exception(type(error), error, frame))
    if len(lines) > MAX_DESCRIPTION_CHARACTERS:
        lines = f"{lines[: MAX_DESCRIPTION_CHARACTERS // 2]}\n...\n{lines[-MAX_DESCRIPTION_CHARACTERS // 2 :]}"
    return f"process_query raised {type(error).__name__}\n{lines.rstrip()}"


def _die_with_parent(parent: int) -> None:
    """Make the kernel kill this process when its server dies, even while code holds the interpreter lock."""
    with suppress(OSError, AttributeError):  # Linux only; elsewhere the reading thread notices
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it died before
        os._exit(1)


def _create_backends(factory: bytes) -> Any:
    """Create the backends; raise ``ConfigurationError`` if one of them cannot be created."""
    try:
        create: Callable[[], Any] = pickle.loads(factory)  # nosec B301 # noqa: S301 - from the server that spawned this process
        return create()
    except ConfigurationError:
        raise
    # The imported module may call sys.exit, which is no Exception.
    except BaseException as error:
        raise ConfigurationError("".join(traceback.format_exception(error))) from error


def main(fd: int, parent: int) -> None:
    """Run a worker for the server with the process id ``parent``, over its inherited connection ``fd``."""
    _die_with_parent(parent)
    os.closerange(fd + 1, MAX_FILES)  # inheritable files of the server, such as its listening socket
    os.set_inheritable(fd, False)
    connection = socket.socket(fileno=fd)
    connection.setblocking(True)  # gevent has made the other end, and so this one, non-blocking
    payload = protocol.receive(connection)
    init = None if payload is None else protocol.decode(payload)
    if not isinstance(init, protocol.Init):
        return
    sys.path[:] = init.paths
    writer = MessageWriter(connection, init.max_answer_bytes)
    log_handler = LogHandler(writer)
    logger = logging.getLogger("persona_stream")
    logger.handlers = [log_handler]
    logger.propagate = False
    logger.setLevel(init.log_level)
    try:
        backends = _create_backends(init.factory)
    except ConfigurationError as error:
        writer.send(_encode_failure("start_failed", str(error)))
        return
    if not logging.root.handlers:  # the backend may have configured logging
        logging.root.addHandler(log_handler)
    with suppress(OSError):  # the server is gone
        _Worker(connection, writer, log_handler, init.max_answer_bytes).run(backends)

"""Worker process: runs the queries of its server, in threads and on an event loop, or one at a time.

One query at a time runs in the main thread, where SIGTERM can end it with its ``finally`` blocks. The server is read
in a thread of its own, and the process ends when the server is gone.
"""

import ctypes
import faulthandler
import fcntl
import logging
import os
import pickle
import queue
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, replace
from functools import cache, partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from multiprocessing import spawn
from types import ModuleType
from typing import Any

from persona_stream import telemetry
from persona_stream.backends.base import Backend
from persona_stream.core.content import ProviderFields
from persona_stream.core.query import Answer, InputRequest, UpstreamCall
from persona_stream.core.result import (
    Raised,
    TaskResult,
    answer_with_question,
    check_extras,
    describe_backend_error,
    find_problem,
)
from persona_stream.errors import BackendError, BackendUnavailable, ConfigurationError, InputUnavailable
from persona_stream.executors.worker import protocol, resources
from persona_stream.executors.worker.gate import Gate
from persona_stream.executors.worker.runtime import (
    QueryConnection,
    RunningQuery,
    Runtime,
    install_event_loop_policy,
)
from persona_stream.executors.worker.writer import LogHandler, MessageWriter
from persona_stream.logging import format_traceback

HEARTBEAT_INTERVAL = 1.0  # second
NOT_STOPPING_AFTER = 5.0  # seconds after the cancellation of a query
STRUCTURE_BYTES = 64 * 1024  # of an answer's message, beside its text
MAX_TRACEBACK_CHARACTERS = 20_000
EXIT_TIMEOUT = 5.0  # seconds for the backend's exit handlers
MAX_FILES = 65_536
CONNECTION_FD = 200  # or the next one that is free; less if the process may open few files
_PR_SET_PDEATHSIG = 1

logger = logging.getLogger("persona_stream.executors")

is_worker = False
"""Whether this process is a worker: its backend module must not start a server."""


def create_inert_app(*args: object, **kwargs: object) -> Any:
    """Return an application without routes: a worker imports the backend's module, which may also create its server."""
    from flask import Flask

    return Flask("persona_stream")


class InertPersonaStream:
    """Extension that does nothing, for a module that extends its application."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def init_app(self, *args: object, **kwargs: object) -> None:
        """Mount nothing."""


class _GeventFinder(MetaPathFinder):
    """Import hook that makes gevent's patches no-ops: a module may patch the server that it also creates."""

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """Return the specification of ``gevent.monkey``, without its patches."""
        if fullname != "gevent.monkey":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = partial(self._execute, spec.loader.exec_module)  # type: ignore[method-assign]
        return spec

    def _execute(self, execute: Callable[[ModuleType], None], module: ModuleType) -> None:
        execute(module)
        for name in vars(module):
            if name.startswith("patch_"):
                setattr(module, name, lambda *_, **__: True)


class WorkerConnection(QueryConnection):
    """Connection of a query to the server."""

    __slots__ = ("_gate", "_max_bytes", "_name", "_number", "_on_end", "_sent_bytes", "_writer")

    def __init__(
        self,
        writer: MessageWriter,
        number: int,
        name: str,
        *,
        max_bytes: int,
        gate: Gate,
        on_end: Callable[[int, TaskResult | None], object],
    ) -> None:
        super().__init__()
        self._gate = gate
        self._writer = writer
        self._number = number
        self._name = name
        self._max_bytes = max_bytes
        self._on_end = on_end
        self._sent_bytes = 0

    def on_begin(self) -> bool:
        """Report the start, unless the gate is closed."""
        self._writer.send(protocol.Begun(self._number))
        if self._gate.is_closed:
            self._on_end(self._number, None)
            self._writer.forget(self._number)
            self._writer.send(protocol.GivenBack(self._number))
            return False
        return True

    def on_progress(self, message: str, fraction: float | None) -> None:
        """Send a progress report."""
        self._writer.notify(self._number, protocol.Report(message, fraction))

    def on_text(self, text: str) -> None:
        """Send a part of the answer."""
        if data := self._take(text):
            self._writer.notify(self._number, protocol.Text(data))

    def on_reasoning(self, text: str) -> None:
        """Send a part of the reasoning."""
        if data := self._take(text):
            self._writer.notify(self._number, protocol.Reasoning(data))

    def on_extras(self, extras: ProviderFields) -> None:
        """Send fields of the message that a provider streamed, unless JSON cannot represent them."""
        checked, size = check_extras(extras)
        if checked is not None and self._sent_bytes + size > self._max_bytes:
            self.on_text(" " * self._max_bytes)  # fails the run
        elif checked is not None:
            self._sent_bytes += size
            self._writer.notify(self._number, protocol.Extras(checked))

    def on_upstream_call(self, call: UpstreamCall) -> None:
        """Send a call to a provider."""
        self._writer.notify_upstream_call(self._number, call)

    def send_question(self, request: InputRequest) -> None:
        """Send a question."""
        if self._writer.is_forked:
            raise InputUnavailable(request.question)
        self._writer.notify(self._number, protocol.Ask(request))

    def on_result(self, result: TaskResult) -> None:
        """Send the end of the query."""
        try:
            payload = _encode_end(self._number, result, self._name, self._max_bytes)
        except Exception as error:  # noqa: BLE001 - values may run code of the backend, and the server waits for the end
            problem = f"the result of process_query cannot be sent: {type(error).__name__}"
            payload = _encode_failure(self._number, "crashed", problem, _format_traceback(error))
        # Before the server can disconnect for lack of queries: this process would take the query for one in progress
        # and exit at once, without the exit handlers and the last spans.
        self._on_end(self._number, result)
        self._writer.end(self._number, payload)

    def _take(self, text: str) -> bytes:
        """Return the encoded text; instead of one over the limit, so much that the server fails the run."""
        rest = self._max_bytes - self._sent_bytes
        if rest < 0 or self.cancelled:
            return b""
        data = text[: rest + 1].encode("utf-8", "surrogatepass")
        if len(data) > rest:  # a frame over the limit would end the process with all its queries
            data = b" " * (rest + 1)
        self._sent_bytes += len(data)
        return data


class _Worker:
    """Queries of one server, until it disconnects."""

    def __init__(
        self,
        payloads: Iterator[bytes],
        writer: MessageWriter,
        log_handler: LogHandler,
        init: protocol.Init,
        backends: Mapping[str, Backend],
        gate: Gate,
    ) -> None:
        """Create the queries' owner; ``payloads`` are the encoded messages of the server."""
        self._gate = gate
        self._payloads = payloads
        self._writer = writer
        self._log_handler = log_handler
        self._max_answer_bytes = init.max_answer_bytes
        self._backends = backends
        self._runtime = Runtime(backends, init.threads) if init.threads else None
        # For the main thread.
        self._queries: queue.SimpleQueue[tuple[protocol.RunQuery, RunningQuery] | None] = queue.SimpleQueue()
        self._running: dict[int, RunningQuery] = {}
        self._is_terminated = False
        self._is_suspect = False  # whether a query failed as if a resource of this process were used up

    def run(self) -> None:
        """Run queries until the server disconnects, or sends SIGTERM."""
        if self._runtime is None:
            signal.signal(signal.SIGTERM, self._on_sigterm)
            reset_sigterm_in_forks()
        else:
            # Not SIG_IGN, which child processes would inherit. Code that interrupts "the main thread" means its own.
            signal.signal(signal.SIGINT, lambda *_: None)
        self._writer.send(protocol.Ready({name: each.describe() for name, each in self._backends.items()}))
        threading.Thread(target=self._read, name="persona_stream reader", daemon=True).start()
        threading.Thread(target=self._watch, name="persona_stream watch", daemon=True).start()
        while (item := self._queries.get()) is not None:
            message, running = item
            self._log_handler.run_id = message.run_id
            running.run(self._backends[message.backend], message.query)
            if self._is_terminated:
                return

    def _read(self) -> None:
        try:
            for payload in self._payloads:
                match protocol.decode(payload):
                    case protocol.RunQuery() as message:
                        self._start(message)
                    case protocol.Cancel(number=number) if (running := self._running.get(number)) is not None:
                        running.cancel()
                    case protocol.AnswerInput(number=number) as answer if running := self._running.get(number):
                        running.answer(answer.input_id, answer.value)
        except OSError:
            pass  # as at the end
        except BaseException:  # noqa: BLE001 - without this thread the process would wait for ever
            traceback.print_exc()
            os._exit(1)
        if self._running:
            os._exit(1)  # the results have no recipient
        self._queries.put(None)
        time.sleep(EXIT_TIMEOUT)
        os._exit(0)

    def _start(self, message: protocol.RunQuery) -> None:
        name = self._backends[message.backend].name
        connection = WorkerConnection(
            self._writer,
            message.number,
            name,
            max_bytes=self._max_answer_bytes,
            gate=self._gate,
            on_end=self._on_end,
        )
        running = RunningQuery(message.run_id, message.trace_headers, connection)
        self._writer.begin(message.number)
        self._running[message.number] = running
        if self._runtime is None:
            self._queries.put((message, running))
        else:
            self._runtime.submit(message.backend, message.query, running)

    def _on_end(self, number: int, result: TaskResult | None) -> None:
        self._running.pop(number, None)  # it may have been reported before the backend interrupted its thread
        if self._runtime is not None and isinstance(result, Raised) and resources.is_exhaustion(result.error):
            self._is_suspect = True

    def _watch(self) -> None:
        """Report the health of this process while it runs queries."""
        reported: set[int] = set()
        is_loop_blocked = False
        while True:
            time.sleep(HEARTBEAT_INTERVAL)
            if self._is_suspect:
                self._is_suspect = False
                if (problem := resources.find_exhausted()) is not None:
                    self._writer.send(protocol.Exhausted(problem))
            if not self._running:
                reported.clear()
                continue
            self._writer.send(protocol.Heartbeat())
            for number, running in list(self._running.items()):
                if running.seconds_since_cancel > NOT_STOPPING_AFTER and number not in reported:
                    reported.add(number)
                    self._writer.send(protocol.NotStopping(number, running.stack))
            blocked = None if self._runtime is None else self._runtime.blocked_loop()
            if blocked is not None and not is_loop_blocked:
                waiting = [number for number, running in list(self._running.items()) if running.withdraw()]
                for number in waiting:
                    self._running.pop(number)
                    self._writer.forget(number)
                self._writer.send(protocol.LoopBlocked(*blocked, tuple(waiting)))
            is_loop_blocked = blocked is not None
            if blocked is not None:
                for running in list(self._running.values()):
                    running.interrupt()

    def _on_sigterm(self, *_: object) -> None:
        if not self._running:
            os._exit(0)
        self._is_terminated = True
        raise SystemExit(128 + signal.SIGTERM)


def _encode_end(number: int, result: TaskResult, name: str, max_bytes: int) -> bytes:
    """Return the message that ends a query, encoded."""
    kind: protocol.FailureKind
    result = answer_with_question(result)
    if isinstance(result, Raised):
        error = result.error
        if isinstance(error, BackendError):
            kind = "backend_unavailable" if isinstance(error, BackendUnavailable) else "backend_error"
            text, code, retry_after = describe_backend_error(error)
            return protocol.encode(protocol.Failure(number, kind, text, code=code, retry_after=retry_after))
        kind = "out_of_memory" if isinstance(error, MemoryError) else "crashed"
        return _encode_failure(number, kind, f"process_query raised {type(error).__name__}", _format_traceback(error))
    if (problem := find_problem(result.value, name)) is not None:
        return _encode_failure(number, "crashed", problem)
    answer: Any = result.value
    raw = None
    if isinstance(answer, Answer):  # a subclass becomes a plain Answer
        raw = answer.raw
        answer = Answer(**{field.name: getattr(answer, field.name) for field in fields(Answer)} | {"raw": None})
    try:
        payload = protocol.encode(protocol.Result(number, answer))
        if isinstance(answer, Answer):
            protocol.decode(payload)  # checks the nested values, so that the error is raised here
    except (TypeError, ValueError, RecursionError) as error:
        return _encode_failure(number, "crashed", f"process_query returned an Answer that cannot be sent: {error}")
    if len(payload) > max_bytes + STRUCTURE_BYTES:
        return _encode_failure(number, "answer_too_large")
    if raw is None:
        return payload
    whole = protocol.encode(protocol.Result(number, replace(answer, raw=protocol.to_json_like(raw))))
    return whole if len(whole) <= protocol.max_frame_bytes(max_bytes) else payload


def _encode_failure(number: int, kind: protocol.FailureKind, text: str = "", traceback: str = "") -> bytes:
    return protocol.encode(protocol.Failure(number, kind, text, traceback))


def _format_traceback(error: BaseException) -> str:
    """Return the traceback of an exception, without this package's own frames, shortened in the middle."""
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_globals.get("__name__", "").startswith("persona_stream."):
        frame = frame.tb_next
    # An error of a bundled backend has no other frames.
    lines = format_traceback(error, frame or error.__traceback__)
    if len(lines) > MAX_TRACEBACK_CHARACTERS:
        lines = f"{lines[: MAX_TRACEBACK_CHARACTERS // 2]}\n...\n{lines[-MAX_TRACEBACK_CHARACTERS // 2 :]}"
    return lines.rstrip()


def _die_with_parent(parent: int) -> None:
    """Make the kernel kill this process when its server dies, even while code holds the interpreter lock."""
    with suppress(OSError, AttributeError):  # Linux only; elsewhere the reading thread notices
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it died before
        os._exit(1)


def _create_backends(init: protocol.Init) -> Any:
    """Create the backends; raise ``ConfigurationError`` if one of them cannot be created."""
    try:
        if init.main:
            spawn.prepare(init.main)
        create: Callable[[], Any] = pickle.loads(init.factory)  # nosec B301 # noqa: S301 - from the server that spawned this process
        return create()
    except ConfigurationError:
        raise
    # The imported module may call sys.exit, which is no Exception.
    except BaseException as error:
        raise ConfigurationError("".join(traceback.format_exception(error))) from error


def prepare_process() -> None:
    """Make this process resemble a script to the backend, whose module may also create a server."""
    global is_worker
    is_worker = True
    sys.meta_path.insert(0, _GeventFinder())
    install_event_loop_policy()


@cache
def reset_sigterm_in_forks() -> None:
    """Let the processes that the backend forks end at SIGTERM, as those of a script do; call it with the handler set.

    The handler of a worker raises ``SystemExit``, which Python ignores in a callback after a fork: a process that is
    terminated so early would survive, and ``multiprocessing.Pool`` would wait for its end for ever.
    """
    handler = signal.getsignal(signal.SIGTERM)
    local = threading.local()

    def block() -> None:
        local.mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))

    def restore() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, local.mask)

    def reset() -> None:
        if signal.getsignal(signal.SIGTERM) == handler:  # not one of the backend
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        restore()

    os.register_at_fork(before=block, after_in_parent=restore, after_in_child=reset)


def main(fd: int, gate_fd: int, parent: int) -> None:
    """Run a worker for the server with the process id ``parent``, over its inherited connection ``fd``."""
    _die_with_parent(parent)
    gate = Gate(gate_fd)
    os.closerange(fd + 1, MAX_FILES)  # inheritable files of the server, such as its listening socket
    # Far from the numbers of files that the backend opens, and perhaps closes twice.
    lowest = min(CONNECTION_FD, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
    connection_fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)
    os.close(fd)
    # The server asks for the stacks of a process that does not respond: while C code holds the interpreter lock, no
    # Python code can write them.
    faulthandler.register(signal.SIGUSR1)
    connection = socket.socket(fileno=connection_fd)
    connection.setblocking(True)  # gevent has made the other end, and so this one, non-blocking
    payloads = protocol.receive_all(connection)
    payload = next(payloads, None)
    init = None if payload is None else protocol.decode(payload)
    if not isinstance(init, protocol.Init):
        return
    sys.path[:] = init.paths
    prepare_process()
    writer = MessageWriter(connection, init.max_answer_bytes)
    log_handler = LogHandler(writer)
    package_logger = logging.getLogger("persona_stream")
    package_logger.handlers = [log_handler]
    package_logger.propagate = False
    package_logger.setLevel(init.log_level)
    close_tracing = telemetry.start_worker_tracing()
    try:
        backends = _create_backends(init)
    except ConfigurationError as error:
        writer.send(protocol.Failure(0, "start_failed", str(error)))
        return
    if not logging.root.handlers:  # the backend may have configured logging
        logging.root.addHandler(log_handler)
    _Worker(payloads, writer, log_handler, init, backends, gate).run()
    close_tracing()

"""Worker process as the server sees it, and the operating system's process beneath it.

Invariants:
    However the process ends, its query gets exactly one answer or one exception.
    Nothing that the process has started outlives it.
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
from gevent import monkey
from gevent import socket as gevent_socket
from gevent.event import AsyncResult, Event

from persona_stream.concurrency import Timer
from persona_stream.core.query import Answer, Query
from persona_stream.core.result import AnswerTooLarge, WorkerError
from persona_stream.errors import BackendError, BackendUnavailable
from persona_stream.executors.base import TaskCallbacks
from persona_stream.executors.process import protocol
from persona_stream.logging import current_run_id

_gevent_socket: Any = gevent_socket  # its annotations are incomplete
_waitpid: Callable[[int, int], tuple[int, int]] = monkey.get_original("os", "waitpid")
# gevent's own makes its loop collect the status of every child at once, before exit_reason can read it.
_posix_spawn: Any = monkey.get_original("os", "posix_spawn")

WORKER_FD = 3  # of the connection, in the worker
NICE_INCREMENT = 5
POLL_INTERVAL = 0.02  # seconds, on systems without pidfd
COOPERATION_TIMEOUT = 0.25  # seconds for code that checks ``query.cancelled``
TERMINATE_TIMEOUT = 0.5  # seconds after SIGTERM
SHUTDOWN_TIMEOUT = 6.0  # seconds for a process without a query to exit
EXIT_TIMEOUT = 1.0  # second between the end of the connection and that of the process


class Subprocess:
    """Spawned Python process in a process group of its own."""

    def __init__(self, module: str, fd: int) -> None:
        """Spawn Python and call ``main`` of ``module`` with file descriptor ``fd`` and this process's id."""
        # Exit code, or the negative number of the signal that killed it; stays ``None`` if other code took the status.
        self.code: int | None = None
        self._is_reaped = False
        # Computing and importing there must not delay the streams here.
        code = f"import os; os.nice({NICE_INCREMENT}); from {module} import main; main({WORKER_FD}, {os.getpid()})"
        files = [
            (os.POSIX_SPAWN_DUP2, fd, WORKER_FD),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, 2, 1),  # the backend's standard output belongs beside the log
        ]
        argv = [sys.executable, "-u", "-c", code]
        # A process group includes everything that the process starts, and keeps the terminal's Ctrl-C from it.
        self.pid = _posix_spawn(sys.executable, argv, os.environ, file_actions=files, setpgroup=0)

    def signal(self, number: int) -> None:
        """Send a signal to the process group."""
        # Until its status is collected, the process id cannot be reused.
        if not self._is_reaped:
            with suppress(ProcessLookupError, PermissionError):  # macOS forbids it for a process that has ended
                os.killpg(self.pid, number)

    def wait(self) -> None:
        """Wait until the process has ended, and kill the rest of its group. Must be called once."""
        # Raised if other code in this process collects the status of any child.
        with suppress(ChildProcessError, ProcessLookupError):
            self._wait_for_exit()
        self.signal(signal.SIGKILL)
        self._is_reaped = True
        with suppress(ChildProcessError):
            _, status = _waitpid(self.pid, 0)
            self.code = os.waitstatus_to_exitcode(status)

    @property
    def exit_reason(self) -> str:
        """Exit code or signal, for the log."""
        if self.code is None:
            return "exit status unknown"
        if self.code < 0:
            try:
                return f"killed by {signal.Signals(-self.code).name}"
            except ValueError:
                return f"killed by signal {-self.code}"
        return f"exit code {self.code}"

    def _wait_for_exit(self) -> None:
        """Wait until the process has ended, without collecting its status."""
        if hasattr(os, "pidfd_open"):
            pidfd = os.pidfd_open(self.pid)
            try:
                _gevent_socket.wait_read(pidfd)
            finally:
                os.close(pidfd)
            return
        while os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            gevent.sleep(POLL_INTERVAL)


class WorkerProcess:
    """Worker process with at most one query. Belongs to the thread of the event loop that created it."""

    def __init__(
        self, init: protocol.Init, on_ready: Callable[[], None], on_exit: "Callable[[WorkerProcess], None]"
    ) -> None:
        """Start the process, or raise ``WorkerError``. Call ``on_ready`` when it is ready, ``on_exit`` at its end."""
        try:
            self._connection, worker_end = _gevent_socket.socketpair()
            with worker_end:
                self._process = Subprocess(f"{__package__}.worker", worker_end.fileno())
        except OSError as error:
            raise WorkerError(f"cannot start a worker process: {error}") from error
        self.pid = self._process.pid
        self.has_started = False  # whether the process has ever been ready
        self.has_exited = False  # whether the process has ended
        self.is_tainted = False  # whether the process must not run another query
        self.task_count = 0  # number of queries so far
        self._start_error = ""
        self._on_ready = on_ready
        self._on_exit = on_exit
        self._max_frame_bytes = protocol.max_frame_bytes(init.max_answer_bytes)
        self._callbacks: TaskCallbacks | None = None  # of the current query
        self._reply: Any = None
        self._is_stopping = False
        self._ready: Any = Event()
        self._exited: Any = Event()
        gevent.spawn(self._reap)
        gevent.spawn(self._read, protocol.encode(init))

    @property
    def is_ready(self) -> bool:
        """Whether the process can run a query at once."""
        return self.has_started and not self.has_exited

    @property
    def is_starting(self) -> bool:
        """Whether the process is neither ready nor gone."""
        return not (self.has_started or self.has_exited)

    @property
    def failed_to_start(self) -> bool:
        """Whether the process ended by itself before it was ready."""
        return self.has_exited and not (self.has_started or self._is_stopping)

    @property
    def is_stopping(self) -> bool:
        """Whether the process takes no more queries."""
        return self._is_stopping or self.has_exited

    @property
    def is_free(self) -> bool:
        """Whether the process can take a query."""
        return self._callbacks is None and not self.is_stopping

    def run(self, backend: str, query: Query, callbacks: TaskCallbacks) -> str | Answer:
        """Run a query and wait for its answer; raise the ``BackendError`` of the backend, or ``WorkerError``."""
        self.task_count += 1
        payload = protocol.encode(protocol.RunQuery(self.task_count, backend, current_run_id.get(), query))
        if self.has_exited:
            raise WorkerError(self.exit_reason)
        self._callbacks = callbacks
        self._reply = AsyncResult()
        if not self.has_started:
            gevent.wait([self._ready, self._exited], count=1)
        self._send(payload)
        reply = self._reply.get()
        self._callbacks = None
        return self._answer_of(reply)

    def cancel(self) -> None:
        """Cancel the query, and wait until it has ended; the process ends too unless the code cooperates."""
        if self._callbacks is None or self.has_exited:
            return
        if self.has_started:
            self._send(protocol.encode(protocol.Cancel(self.task_count)))
            gevent.wait([self._reply, self._exited], timeout=COOPERATION_TIMEOUT, count=1)
            if self._reply.ready() and not self.has_exited:
                self._callbacks = None
                return
        self.terminate()

    def shutdown(self) -> None:
        """Request the process to exit by itself, without waiting."""
        self._is_stopping = True
        self._close_connection(socket.SHUT_WR)
        Timer(SHUTDOWN_TIMEOUT, self.terminate)

    def terminate(self) -> None:
        """Terminate the process, with SIGKILL if it ignores SIGTERM, and wait until it is gone."""
        self._is_stopping = True
        self._process.signal(signal.SIGTERM)
        if not self._exited.wait(TERMINATE_TIMEOUT):
            self._process.signal(signal.SIGKILL)
            self._exited.wait()

    def kill(self) -> None:
        """Kill the process without waiting."""
        self._is_stopping = True
        self._process.signal(signal.SIGKILL)

    @property
    def exit_reason(self) -> str:
        """How and when the process ended, for the log."""
        if not self.has_started:
            return f"worker process failed to start ({self._start_error or self._process.exit_reason})"
        state = "while it ran a query" if self._callbacks is not None else "while idle"
        return f"worker process ended {state}: {self._process.exit_reason}"

    def _answer_of(self, reply: object) -> str | Answer:
        match reply:
            case protocol.Result(answer=answer):
                return answer
            case protocol.Failure(kind="answer_too_large"):
                raise AnswerTooLarge("the answer exceeds the size limit")
            case protocol.Failure(kind="backend_unavailable", text=text):
                raise BackendUnavailable(text)
            case protocol.Failure(kind="backend_error", text=text):
                raise BackendError(text)
            case protocol.Failure(kind=kind, text=text):
                self.is_tainted = kind == "out_of_memory"
                raise WorkerError(text)
            case _:
                raise WorkerError(f"unexpected message of a worker process: {type(reply).__name__}")

    def _read(self, init: bytes) -> None:
        """Handle the messages of the process until it ends."""
        failure: WorkerError | None = None
        try:
            self._connection.sendall(protocol.to_frame(init))
            while (payload := protocol.receive(self._connection, self._max_frame_bytes)) is not None:
                self._on_message(protocol.decode(payload))
        except protocol.FrameTooLarge as error:
            failure = AnswerTooLarge(str(error))
        except OSError:
            pass  # it ended before it had read everything
        except Exception as error:  # noqa: BLE001 - any failure must end the waiting query
            failure = None if self._is_stopping else WorkerError(f"invalid message of a worker process: {error!r}")
        if failure is not None or not self._exited.wait(EXIT_TIMEOUT):
            self.kill()
        self._exited.wait()
        if self._callbacks is not None:
            self._reply.set_exception(failure or WorkerError(self.exit_reason))
        self._connection.close()

    def _on_message(self, message: protocol.Message) -> None:
        match message:
            case protocol.Ready():
                self.has_started = True
                self._ready.set()
                self._on_ready()
            case protocol.Failure(kind="start_failed", text=text):
                self._start_error = text
            case protocol.LogRecord():
                _log(message)
            case protocol.Notifications(number=number, items=items):
                if self._callbacks is not None and number == self.task_count:
                    for item in items:
                        _dispatch(item, self._callbacks)
            case _:
                if self._callbacks is not None:
                    self._reply.set(message)

    def _send(self, payload: bytes) -> None:
        with suppress(OSError):  # it has ended, and the reading greenlet reports that
            self._connection.sendall(protocol.to_frame(payload))

    def _close_connection(self, how: int) -> None:
        with suppress(OSError):  # closed by the process
            self._connection.shutdown(how)

    def _reap(self) -> None:
        self._process.wait()
        self.has_exited = True
        self._exited.set()
        self._close_connection(socket.SHUT_RDWR)  # a child of it may hold the other end; received data is still read
        self._on_exit(self)


def _dispatch(item: protocol.Notification, callbacks: TaskCallbacks) -> None:
    match item:
        case protocol.Text(data=data):
            callbacks.on_text(data.decode("utf-8", "surrogatepass"))
        case protocol.Reasoning(data=data):
            callbacks.on_reasoning(data.decode("utf-8", "surrogatepass"))
        case protocol.Report(message=message, fraction=fraction):
            callbacks.on_progress(message, fraction)
        case protocol.Upstream(call=call):
            callbacks.on_upstream_call(call)


def _log(record: protocol.LogRecord) -> None:
    logger = logging.getLogger(record.logger)
    if not logger.hasHandlers():
        logger = logging.getLogger("persona_stream")
    if logger.isEnabledFor(record.level):
        attributes = {"name": record.logger, "levelno": record.level, "levelname": logging.getLevelName(record.level)}
        attributes |= {"msg": record.message, "args": (), "run_id": record.run_id, "created": record.created}
        logger.handle(logging.makeLogRecord(attributes))

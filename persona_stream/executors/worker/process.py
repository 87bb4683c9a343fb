"""Worker process as the server sees it, and the operating system's process beneath it.

Invariants:
    However the process ends, each of its queries gets exactly one answer or one exception.
    Nothing that the process has started outlives it.
"""

import fcntl
import logging
import math
import os
import re
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import gevent
from gevent import monkey
from gevent import socket as gevent_socket
from gevent.event import AsyncResult, Event
from msgspec import Struct

from persona_stream.backends.base import BackendDescription
from persona_stream.concurrency import Timer, TimeSlice
from persona_stream.core.content import slices
from persona_stream.core.query import Answer, Query
from persona_stream.core.result import AnswerTooLarge, WorkerError
from persona_stream.errors import BackendError, BackendUnavailable
from persona_stream.executors.base import TaskCallbacks
from persona_stream.executors.worker import protocol
from persona_stream.executors.worker.gate import Gate, create_gate_file
from persona_stream.logging import current_run_id, handle_record, trace_headers

_gevent_socket: Any = gevent_socket  # its annotations are incomplete
_waitpid: Callable[[int, int], tuple[int, int]] = monkey.get_original("os", "waitpid")
# gevent's own makes its loop collect the status of every child at once, before exit_reason can read it.
_poll: Any = monkey.get_original("select", "poll")
_posix_spawn: Any = monkey.get_original("os", "posix_spawn")

logger = logging.getLogger("persona_stream.executors")

WORKER_FD = 3  # of the connection, in the worker; the gate has the next one
_FIRST_FREE_FD = 16  # here, for a file that must not be replaced by one with a number of the worker
NICE_INCREMENT = 5
POLL_INTERVAL = 0.02  # seconds, on systems without pidfd
TERMINATE_TIMEOUT = 0.5  # seconds after SIGTERM
SHUTDOWN_TIMEOUT = 6.0  # seconds for a process without a query to exit
EXIT_TIMEOUT = 1.0  # second between the end of the connection and that of the process


class Subprocess:
    """Spawned Python process in a process group of its own."""

    def __init__(self, module: str, *files: int) -> None:
        """Spawn Python and call ``main`` of ``module`` with descriptors of these files and this process's id."""
        # Exit code, or the negative number of the signal that killed it; stays ``None`` if other code took the status.
        self.code: int | None = None
        self._is_reaped = False
        # Computing and importing there must not delay the streams here.
        arguments = [*range(WORKER_FD, WORKER_FD + len(files)), os.getpid()]
        code = f"import os; os.nice({NICE_INCREMENT}); from {module} import main; main{tuple(arguments)}"
        actions = [
            *((os.POSIX_SPAWN_DUP2, fd, WORKER_FD + index) for index, fd in enumerate(files)),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, 2, 1),  # the backend's standard output belongs beside the log
        ]
        argv = [sys.executable, "-u", "-c", code]
        # A process group includes everything that the process starts, and keeps the terminal's Ctrl-C from it.
        self.pid = _posix_spawn(sys.executable, argv, os.environ, file_actions=actions, setpgroup=0)

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


_End = protocol.Result | protocol.Failure | protocol.LoopBlocked | protocol.GivenBack


class NotStarted(WorkerError):
    """Query that a worker process gives back: another process may run it."""


class _SubmittedQuery(Struct, eq=False):
    """Query in a worker, from its submission until the worker reports its end."""

    callbacks: TaskCallbacks
    end: Any  # gevent.event.AsyncResult
    has_begun: bool = False
    is_cancelled: bool = False  # nothing waits for it any more


class WorkerProcess:
    """Worker process with its queries. Belongs to the thread of the event loop that created it."""

    def __init__(
        self, init: protocol.Init, on_change: Callable[[], None], on_exit: "Callable[[WorkerProcess], None]"
    ) -> None:
        """Start the process, or raise ``WorkerError``.

        ``on_change`` is called when the process is ready, and when it shall take no more queries; ``on_exit`` at its
        end.
        """
        try:
            self._connection, worker_end = _gevent_socket.socketpair()
            with worker_end:
                gate_fd = create_gate_file()
                inherited = fcntl.fcntl(gate_fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE_FD)
                self._gate = Gate(gate_fd)
                try:
                    self._process = Subprocess(f"{__package__}.main", worker_end.fileno(), inherited)
                finally:
                    os.close(inherited)
        except OSError as error:
            raise WorkerError(f"cannot start a worker process: {error}") from error
        self.pid = self._process.pid
        self.backends: Mapping[str, BackendDescription] = {}  # once it is ready
        self.has_started = False  # whether the process has ever been ready
        self.has_exited = False  # whether the process has ended
        self.is_tainted = False  # whether the process must not run another query
        self.task_count = 0  # number of queries so far
        self.problem = ""  # why the process takes no more queries
        self.start_error = ""
        self._on_change = on_change
        self._on_exit = on_exit
        self._max_frame_bytes = protocol.max_frame_bytes(init.max_answer_bytes)
        self._queries: dict[int, _SubmittedQuery] = {}
        self._heard_at = time.monotonic()
        self._unsent = bytearray()
        self._is_sending = False
        self._is_stopping = False
        self._turn = TimeSlice()
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
        return self._is_stopping or self.has_exited or bool(self.problem)

    @property
    def is_idle(self) -> bool:
        """Whether the process has no query whose run waits for it."""
        return all(query.is_cancelled for query in self._queries.values())

    @property
    def query_count(self) -> int:
        """Number of queries in the process."""
        return len(self._queries)

    def has_query(self, number: int) -> bool:
        """Return whether a query has not ended."""
        return number in self._queries

    @property
    def seconds_since_message(self) -> float:
        """Seconds without a message of a process that runs queries, which sends one every second; otherwise 0.0."""
        return time.monotonic() - self._heard_at if self._queries else 0.0

    def wait_until_ready(self) -> None:
        """Wait until the process is ready, or raise ``WorkerError`` if it ends before."""
        if self.is_starting:
            gevent.wait([self._ready, self._exited], count=1)
        if self.has_exited:
            raise WorkerError(self.exit_reason)

    def submit(self, backend: str, query: Query, callbacks: TaskCallbacks) -> int:
        """Send a query to the process; return its number."""
        self.task_count += 1
        number = self.task_count
        headers = dict(trace_headers.get())
        payload = protocol.encode(protocol.RunQuery(number, backend, current_run_id.get(), headers, query))
        if not self._queries:
            self._heard_at = time.monotonic()
        self._queries[number] = _SubmittedQuery(callbacks, AsyncResult())
        self._send(payload)
        return number

    def wait(self, number: int) -> str | Answer:
        """Wait for the answer to a query; raise the ``BackendError`` of the backend, or ``WorkerError``."""
        if (query := self._queries.get(number)) is None:
            raise WorkerError(self.exit_reason)
        return self._answer_of(query.end.get())

    def answer(self, number: int, input_id: str, value: str | None) -> None:
        """Send the answer to a question of a query, unless the query has ended."""
        if number in self._queries and not self.has_exited:
            self._send(protocol.encode(protocol.AnswerInput(number, input_id, value)))

    @property
    def orphan_count(self) -> int:
        """Number of queries that have been cancelled and continue."""
        return sum(query.is_cancelled for query in self._queries.values())

    def cancel(self, number: int, seconds: float) -> bool:
        """Cancel a query, unless it has ended; return whether it ends within ``seconds``."""
        if (query := self._queries.get(number)) is None or self.has_exited:
            return True
        if not query.is_cancelled:
            query.is_cancelled = True
            self._send(protocol.encode(protocol.Cancel(number)))
            self._stop_if_unused()
        gevent.wait([query.end, self._exited], timeout=seconds, count=1)
        return query.end.ready() or self.has_exited

    def retire(self, problem: str) -> None:
        """Take no more queries, for a reason; the process ends with the last query that is waited for."""
        if not self.is_stopping:
            self.problem = problem
            logger.error("worker process %d takes no more queries: %s", self.pid, problem)
            self._on_change()
        self._stop_if_unused()

    def give_back(self) -> None:
        """Give back the queries that have not begun, and will not because the gate is closed; wait for messages."""
        self._gate.close()
        heard_at = -math.inf
        while self._is_readable() or heard_at != self._heard_at:  # announcements may be on their way
            heard_at = self._heard_at
            gevent.sleep(POLL_INTERVAL)
        for number, query in list(self._queries.items()):
            if not query.has_begun:
                self._give_back(number)

    def _is_readable(self) -> bool:
        if self._connection.fileno() < 0:  # closed
            return False
        poller = _poll()
        poller.register(self._connection.fileno(), select.POLLIN)
        return bool(poller.poll(0))

    def _give_back(self, number: int) -> None:
        if (query := self._queries.pop(number, None)) is not None:
            query.end.set(protocol.GivenBack(number))
        self._stop_if_unused()

    def dump_stacks(self) -> None:
        """Make the process write the stacks of its threads to its standard error, which is that of this process."""
        if self.is_ready:
            self._process.signal(signal.SIGUSR1)

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
            return f"worker process failed to start ({self.start_error or self._process.exit_reason})"
        count = len(self._queries)
        state = "while idle" if not count else "while it ran a query" if count == 1 else f"while it ran {count} queries"
        return f"worker process ended {state}: {self._process.exit_reason}"

    def _answer_of(self, end: _End) -> str | Answer:
        match end:
            case protocol.LoopBlocked():
                raise NotStarted("the event loop of the worker process is blocked")
            case protocol.GivenBack():
                raise NotStarted("the worker process does not respond")
            case protocol.Result(answer=answer):
                return answer
            case protocol.Failure(kind="answer_too_large"):
                raise AnswerTooLarge("the answer exceeds the size limit")
            case protocol.Failure(kind="backend_unavailable", text=text, code=code, retry_after=retry_after):
                raise BackendUnavailable(text, code=code, retry_after=retry_after)
            case protocol.Failure(kind="backend_error", text=text, code=code, retry_after=retry_after):
                raise BackendError(text, code=code, retry_after=retry_after)
            case protocol.Failure(kind=kind, text=text, traceback=traceback):
                self.is_tainted = self.is_tainted or kind == "out_of_memory"
                raise WorkerError(text, traceback)

    def _read(self, init: bytes) -> None:
        """Handle the messages of the process until it ends."""
        failure: WorkerError | None = None
        try:
            self._send(init)
            self._handle_messages()
        except protocol.FrameTooLarge as error:
            failure = AnswerTooLarge(str(error))
        except OSError:
            pass  # it ended before it had read everything
        except Exception as error:  # noqa: BLE001 - any failure must end the waiting queries
            failure = None if self._is_stopping else WorkerError(f"invalid message of a worker process: {error!r}")
        if failure is not None or not self._exited.wait(EXIT_TIMEOUT):
            self.kill()
        self._exited.wait()
        failure = failure or WorkerError(self.exit_reason)
        not_started = NotStarted(self.exit_reason)
        while self._queries:
            query = self._queries.popitem()[1]
            query.end.set_exception(failure if query.has_begun else not_started)
        self._connection.close()

    def _handle_messages(self) -> None:
        # Reading from a process that always has more to send would never switch to another greenlet. Each part of a
        # large answer also waits for the interpreter lock, if a thread is cutting another one.
        for payload in protocol.receive_all(self._connection, self._max_frame_bytes, self._turn.limit):
            self._on_message(protocol.decode(payload))
            self._heard_at = time.monotonic()
            self._turn.limit()

    def _on_message(self, message: protocol.Message) -> None:
        match message:
            case protocol.Notifications(number=number, items=items):
                if (query := self._queries.get(number)) is not None:
                    for item in items:
                        if query.is_cancelled:
                            break
                        self._dispatch(item, query.callbacks)
            case protocol.Result(number=number) | protocol.Failure(number=number) if number:
                if (query := self._queries.pop(number, None)) is not None:
                    query.end.set(message)
                if self.problem:
                    self._stop_if_unused()
            case protocol.Begun(number=number):
                if (query := self._queries.get(number)) is not None:
                    query.has_begun = True
            case protocol.GivenBack(number=number):
                self._give_back(number)
            case protocol.LogRecord():
                _log(message)
            case protocol.Ready(backends=backends):
                self.backends = backends
                self.has_started = True
                self._ready.set()
                self._on_change()
            case protocol.Failure(text=text):
                self.start_error = text
            case protocol.NotStopping(number=number, stack=stack):
                logger.error("query %d of worker process %d does not stop:\n%s", number, self.pid, stack.rstrip())
            case protocol.Exhausted(problem=problem):
                self.retire(problem)
            case protocol.LoopBlocked(seconds=seconds, stack=stack, waiting=waiting):
                remedy = "await what blocks, or use asyncio.to_thread or a function without async"
                code = _innermost_own_code(stack)
                self.retire(f"its event loop has been blocked for {seconds:.0f} s{code}: {remedy}\n{stack.rstrip()}")
                for number in waiting:
                    if (query := self._queries.pop(number, None)) is not None:
                        query.end.set(message)
                self._stop_if_unused()
            case _:
                pass  # a heartbeat

    def _dispatch(self, item: protocol.Notification, callbacks: TaskCallbacks) -> None:
        match item:
            case protocol.Text(data=data):
                self._dispatch_text(data, callbacks.on_text)
                return
            case protocol.Reasoning(data=data):
                self._dispatch_text(data, callbacks.on_reasoning)
                return
            case protocol.Report(message=message, fraction=fraction):
                callbacks.on_progress(message, fraction)
            case protocol.Upstream(call=call):
                callbacks.on_upstream_call(call)
            case protocol.Ask(request=request):
                callbacks.on_ask(request)
            case protocol.Extras(extras=extras):
                callbacks.on_extras(extras)
        self._turn.limit()

    def _dispatch_text(self, data: bytes, on_part: Callable[..., None]) -> None:
        for part in slices(data.decode("utf-8", "surrogatepass")):
            on_part(part, is_coalesced=True)  # by the writer of the process
            self._turn.limit()

    def _stop_if_unused(self) -> None:
        if not self._is_stopping and self.problem and self.is_idle:
            self._is_stopping = True
            gevent.spawn(self.terminate)

    def _send(self, payload: bytes) -> None:
        """Send a message without waiting: a greenlet that is killed meanwhile would leave half a frame."""
        self._unsent += protocol.to_frame(payload)
        if not self._is_sending:
            self._is_sending = True
            if not self._send_some():
                gevent.spawn(self._send_rest)

    def _send_rest(self) -> None:
        with suppress(OSError):  # closed meanwhile
            while not self._send_some():
                _gevent_socket.wait_write(self._connection.fileno())

    def _send_some(self) -> bool:
        """Send what the socket takes at once; return whether that is all."""
        try:
            del self._unsent[: os.write(self._connection.fileno(), self._unsent)]
        except BlockingIOError:
            return False
        except OSError:  # it has ended, and the reading greenlet reports that
            self._unsent.clear()
        self._is_sending = bool(self._unsent)
        return not self._unsent

    def _close_connection(self, how: int) -> None:
        with suppress(OSError):  # closed by the process
            self._connection.shutdown(how)

    def _reap(self) -> None:
        self._process.wait()
        self.has_exited = True
        self._exited.set()
        self._close_connection(socket.SHUT_RDWR)  # a child of it may hold the other end; received data is still read
        self._on_exit(self)


def _innermost_own_code(stack: str) -> str:
    """Return the innermost function of a formatted stack that is outside of libraries, and its line, for the log."""
    places: list[tuple[str, str, str]] = re.findall(r'File "(.+)", line ([0-9]+), in (.+)', stack)
    own = [place for place in places if "/lib/python" not in place[0]] or places
    return " by {2}() at {0}:{1}".format(*own[-1]) if own else ""


def _log(record: protocol.LogRecord) -> None:
    logger = logging.getLogger(record.logger)
    if not logger.hasHandlers():
        logger = logging.getLogger("persona_stream")
    if logger.isEnabledFor(record.level):
        attributes = {"name": record.logger, "levelno": record.level, "levelname": logging.getLevelName(record.level)}
        attributes |= {"msg": record.message, "args": (), "run_id": record.run_id, "created": record.created}
        handle_record(logger, logging.makeLogRecord(attributes))

"""One worker, as its server sees it.

The law: whatever happens to the process, whoever asked gets one answer or one exception, and nothing that it started
outlives it.

A process of the operating system's: started without a copy of ours, watched, and killed with all that it started.
"""

from __future__ import annotations

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
from gevent import socket as child_socket
from gevent import socket as cooperative
from gevent.event import AsyncResult, Event

from persona_stream.core.query import Answer, Query, UpstreamCall
from persona_stream.errors import BackendError, BackendUnavailable
from persona_stream.executors.base import AnswerTooLarge, WorkerError
from persona_stream.executors.process.protocol import (
    BackendFailed,
    Cancel,
    Crashed,
    Init,
    LogRecord,
    Notifications,
    Oversized,
    Ready,
    Reasoning,
    Report,
    Result,
    ResultTooLarge,
    RunQuery,
    StartFailed,
    Text,
    decode,
    encode,
    framed,
    largest,
    of_query,
    receive,
)
from persona_stream.logging import current_run_id

_wait_read: Any = getattr(child_socket, "wait_read")  # noqa: B009 - gevent's annotations do not know it
_waitpid: Callable[[int, int], tuple[int, int]] = monkey.get_original("os", "waitpid")
# gevent's own has its loop take the status of every child as soon as it ends, before we can ask for it.
_posix_spawn: Any = monkey.get_original("os", "posix_spawn")

_CONNECTION = 3  # the file that a worker has it as
_NICE = 5
_LOOK = 0.02  # seconds, where a system cannot tell of an end


class Subprocess:
    """Hold one.

    Attributes:
        pid: its number.
        code: its exit code once it has ended; below zero, the signal that killed it. ``None`` for ever, where
            somebody else in this process has taken the status of a child that was not theirs.
    """

    def __init__(self, module: str, connection: int) -> None:
        """Start it: Python, which calls ``main`` of ``module`` with its connection and our own number.

        gevent's way to start a process copies ours first, with all its memory and what its threads hold; this does not.

        Raises:
            OSError: the system does not start any.
        """
        self.code: int | None = None
        self._is_gone = False
        # What computes there makes room for what streams here, and so does what is imported.
        text = f"import os; os.nice({_NICE}); from {module} import main; main({_CONNECTION}, {os.getpid()})"
        files = [
            (os.POSIX_SPAWN_DUP2, connection, _CONNECTION),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, 2, 1),  # what a stranger prints belongs beside our log
        ]
        # In a group with all that it starts; and a Ctrl-C on the terminal is for us alone.
        self.pid = _posix_spawn(
            sys.executable, [sys.executable, "-u", "-c", text], os.environ, file_actions=files, setpgroup=0
        )

    def signal(self, number: int) -> None:
        """Send a signal to it and to all that it has started."""
        # As long as nobody has asked for its status, its number is nobody else's.
        if not self._is_gone:
            with suppress(ProcessLookupError, PermissionError):  # macOS forbids it for one that has ended
                os.killpg(self.pid, number)

    def wait(self) -> None:
        """Wait until it has ended, and end all that it has started. Call it once."""
        # Not found: somebody here waits for children that are not theirs.
        with suppress(ChildProcessError, ProcessLookupError):
            self._wait_for_end()
        self.signal(signal.SIGKILL)
        self._is_gone = True
        with suppress(ChildProcessError):
            _, status = _waitpid(self.pid, 0)
            self.code = os.waitstatus_to_exitcode(status)

    @property
    def exit_reason(self) -> str:
        """Say how it has ended."""
        if self.code is None:
            return "nobody can tell how"
        if self.code < 0:
            try:
                return f"killed by {signal.Signals(-self.code).name}"
            except ValueError:
                return f"killed by signal {-self.code}"
        return f"exit code {self.code}"

    def _wait_for_end(self) -> None:
        """Wait until it has ended, without taking its status."""
        if hasattr(os, "pidfd_open"):
            end = os.pidfd_open(self.pid)
            try:
                _wait_read(end)
            finally:
                os.close(end)
            return
        while os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            gevent.sleep(_LOOK)


_cooperative: Any = cooperative

_TO_RETURN = 0.25  # seconds for code that looks at ``query.cancelled``
_TO_CLEAN_UP = 0.5  # seconds after SIGTERM
_TO_LEAVE = 6.0  # seconds, when nothing is asked any more
_TO_DIE = 1.0  # second between the end of its connection and its own


class _Asked:
    """What is under way in a worker."""

    __slots__ = ("number", "outcome", "query")

    def __init__(self, number: int, query: Query) -> None:
        self.number, self.query = number, query
        self.outcome: Any = AsyncResult()


class WorkerProcess:
    """Hold a worker. Everything here belongs to the thread of the hub that made it."""

    def __init__(self, hello: Init, on_ready: Callable[[], None], on_gone: Callable[[WorkerProcess], None]) -> None:
        """Start it; ``on_ready`` is called when it can be asked, and ``on_gone`` once, when it has ended.

        Raises:
            ProcessFailed: the system does not start any.
        """
        try:
            ours, theirs = _cooperative.socketpair()
            with theirs:
                self._child = Subprocess(f"{__package__}.worker", theirs.fileno())
        except OSError as error:
            raise WorkerError(f"no process can be started for process_query: {error}") from error
        self.pid = self._child.pid
        self.asked = 0
        self.is_worn = False  # it shall not be asked again
        self.reason = ""  # why it could not begin
        self._connection, self._on_ready, self._on_gone = ours, on_ready, on_gone
        self._limit = largest(hello.limit)
        self._current: _Asked | None = None
        self._is_stopping = False
        self._ready: Any = Event()
        self._gone: Any = Event()
        gevent.spawn(self._reap)
        gevent.spawn(self._serve, framed(encode(hello)))

    @property
    def is_ready(self) -> bool:
        """Whether it can answer at once."""
        return self.has_begun and not self.is_gone

    @property
    def is_gone(self) -> bool:
        """Whether it has ended."""
        return bool(self._gone.is_set())

    @property
    def has_begun(self) -> bool:
        """Whether it has ever been ready."""
        return bool(self._ready.is_set())

    @property
    def is_starting(self) -> bool:
        """Whether it is neither ready nor gone."""
        return not (self.has_begun or self.is_gone)

    @property
    def failed_to_start(self) -> bool:
        """Whether it ended by itself before it was ready."""
        return self.is_gone and not (self.has_begun or self._is_stopping)

    @property
    def is_leaving(self) -> bool:
        """Whether it will not be asked again."""
        return self._is_stopping or self.is_gone

    @property
    def is_free(self) -> bool:
        """Whether it can be asked."""
        return self._current is None and not self.is_leaving

    def run(self, backend: str, query: Query) -> str | Answer:
        """Have it answer, and wait.

        Raises:
            BackendError: the backend says so.
            ProcessFailed: it raised something else, or the process ended.
        """
        self.asked += 1
        payload = encode(RunQuery(self.asked, backend, current_run_id.get(), of_query(query)))
        if self.is_gone:
            raise WorkerError(self.exit_reason)
        self._current = asked = _Asked(self.asked, query)
        if not self.has_begun:
            gevent.wait([self._ready, self._gone], count=1)
        self._send(payload)
        outcome = asked.outcome.get()
        self._current = None
        return self._value_of(outcome)

    def cancel(self) -> None:
        """End what it does, and unless that comes back by itself, the process; come back when that is done."""
        asked = self._current
        if asked is None or self.is_gone:
            return
        if self.has_begun:
            self._send(encode(Cancel(asked.number)))
            gevent.wait([asked.outcome, self._gone], timeout=_TO_RETURN, count=1)
            if asked.outcome.ready() and not self.is_gone:
                self._current = None
                return
        self.terminate()

    def shutdown(self) -> None:
        """Ask for nothing any more, and let it leave by itself, without waiting for that."""
        self._is_stopping = True
        self._hang_up(socket.SHUT_WR)
        gevent.spawn(self._terminate_after_grace)

    def _terminate_after_grace(self) -> None:
        if not self._gone.wait(_TO_LEAVE):
            self.terminate()

    def terminate(self) -> None:
        """End the process, and come back when it is gone."""
        self._is_stopping = True
        self._child.signal(signal.SIGTERM)
        if not self._gone.wait(_TO_CLEAN_UP):
            self._child.signal(signal.SIGKILL)
            self._gone.wait()

    def kill(self) -> None:
        """End the process without waiting for anything."""
        self._is_stopping = True
        self._child.signal(signal.SIGKILL)

    @property
    def exit_reason(self) -> str:
        """Say what became of it, for the log."""
        if not self.has_begun:
            return f"the process of process_query could not begin ({self.reason or self._child.exit_reason})"
        at = "while it was at work" if self._current is not None else "while it was idle"
        return f"the process of process_query ended {at}: {self._child.exit_reason}"

    def _value_of(self, outcome: object) -> str | Answer:
        match outcome:
            case Result(answer):
                return answer
            case ResultTooLarge():
                raise AnswerTooLarge("the answer is over the limit")
            case BackendFailed(text, unavailable):
                raise BackendUnavailable(text) if unavailable else BackendError(text)
            case Crashed(words, for_good):
                self.is_worn = for_good
                raise WorkerError(words)
            case _:
                raise WorkerError(f"a worker said {type(outcome).__name__}")

    def _serve(self, greeting: bytes) -> None:
        """Hear what it says, until it says no more."""
        failure: WorkerError | None = None
        try:
            self._connection.sendall(greeting)
            while (frame := receive(self._connection, self._limit)) is not None:
                self._on_message(decode(frame))
        except Oversized as error:
            failure = AnswerTooLarge(str(error))
        except OSError:
            pass  # it ended before it read all that we said
        except Exception as error:  # noqa: BLE001 - half a pickle can raise anything, and who waits must be told
            failure = None if self._is_stopping else WorkerError(f"a worker said what cannot be read: {error!r}")
        if failure is not None or not self._gone.wait(_TO_DIE):
            self.kill()
        self._gone.wait()
        if self._current is not None:
            self._current.outcome.set_exception(failure or WorkerError(self.exit_reason))
        self._connection.close()

    def _on_message(self, message: object) -> None:
        asked = self._current
        match message:
            case Ready():
                self._ready.set()
                self._on_ready()
            case StartFailed(reason):
                self.reason = reason
            case Notifications(number, what):
                if asked is not None and asked.number == number:
                    for each in what:
                        _pass_on(asked.query, each)
            case LogRecord():
                _log(message)
            case _:
                if asked is not None:
                    asked.outcome.set(message)

    def _send(self, payload: bytes) -> None:
        with suppress(OSError):  # it is gone, and who waits for it is told
            self._connection.sendall(framed(payload))

    def _hang_up(self, how: int) -> None:
        with suppress(OSError):  # it did before
            self._connection.shutdown(how)

    def _reap(self) -> None:
        self._child.wait()
        self._gone.set()
        self._hang_up(socket.SHUT_RDWR)  # a child of its may hold the other end; what was said is read all the same
        self._on_gone(self)


def _pass_on(query: Query, what: Text | Reasoning | Report | UpstreamCall) -> None:
    match what:
        case Text(text):
            query._context.on_text(text)
        case Reasoning(text):
            query._context.on_reasoning(text)
        case Report(message, fraction):
            query._context.on_progress(message, fraction)
        case UpstreamCall():
            query._context.on_upstream_call(what)


def _log(line: LogRecord) -> None:
    logger = logging.getLogger(line.logger)
    if not logger.hasHandlers():
        logger = logging.getLogger("persona_stream")
    if logger.isEnabledFor(line.level):
        known = {"name": line.logger, "levelno": line.level, "levelname": logging.getLevelName(line.level)}
        more = {"msg": line.message, "args": (), "run_id": line.run_id, "created": line.created}
        logger.handle(logging.makeLogRecord({**known, **more}))

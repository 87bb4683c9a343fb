"""The process that a server asks.

A query runs in the main thread, where SIGTERM can end it with its ``finally`` blocks. Another thread listens
meanwhile, and ends the process when the server is gone.
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
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any, Protocol

from persona_stream.core.query import Answer, Query
from persona_stream.errors import BackendError, BackendUnavailable, StartError
from persona_stream.executors.processes import codec, frames
from persona_stream.executors.processes.outbox import Handler, Outbox
from persona_stream.logging import current_run

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


class _Worker:
    """Answer one query after the other."""

    def __init__(self, connection: socket.socket, outbox: Outbox, handler: Handler, limit: int) -> None:
        self._connection, self._outbox, self._handler, self._limit = connection, outbox, handler, limit
        self._asked: queue.SimpleQueue[tuple[frames.Ask, _Flag] | None] = queue.SimpleQueue()
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
            self._outbox.listen_to(0)
            self._outbox.send_encoded(outcome)

    def _listen(self) -> None:
        with suppress(OSError):
            while (frame := codec.receive(self._connection)) is not None:
                match codec.decode(frame):
                    case frames.Ask() as ask:
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

    def _answer(self, backends: Mapping[str, _Backend], ask: frames.Ask, flag: _Flag) -> bytes:
        self._handler.run_id = ask.run_id
        current_run.set(ask.run_id)
        self._outbox.listen_to(ask.number)
        outbox, number = self._outbox, ask.number
        try:
            value = backends[ask.backend].process_query(
                Query(
                    **ask.query,
                    cancelled=flag,
                    on_report=lambda message, fraction: outbox.tell(number, frames.Report(message, fraction)),
                    on_text=lambda text: outbox.tell(number, frames.Text(text)),
                    on_reasoning=lambda text: outbox.tell(number, frames.Reasoning(text)),
                    on_upstream=lambda upstream: outbox.tell_upstream(number, upstream),
                )
            )
            return self._returned(value)
        except BackendError as error:
            return codec.encode(frames.GaveUp(str(error), isinstance(error, BackendUnavailable)))
        except BaseException as error:  # noqa: BLE001 - whatever a stranger's code raises ends its run, not its worker
            return codec.encode(frames.Broke(_words(error), for_good=isinstance(error, MemoryError)))

    def _returned(self, value: object) -> bytes:
        if isinstance(value, Answer):
            raw, value = value.raw, _exactly(replace(value, raw=None))
        elif isinstance(value, str):
            raw = None
        else:
            kind = type(value).__name__
            return codec.encode(frames.Broke(f"process_query must return a string or an Answer, and returned {kind}"))
        try:
            payload = codec.encode(frames.Gave(value))
        except codec.Unsendable as error:
            return codec.encode(frames.Broke(f"process_query returned an Answer that has {error} in it"))
        if len(payload) > self._limit + _STRUCTURE_BYTES:
            return codec.encode(frames.TooLarge())
        if raw is not None and isinstance(value, Answer):
            whole = codec.encode(frames.Gave(replace(value, raw=codec.plain(raw))))
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


def _make(hello: frames.Hello) -> Any:
    """Make the backends.

    Raises:
        StartError: they cannot be made.
    """
    try:
        return pickle.loads(hello.make)()  # nosec B301 # noqa: S301 - it is from the server that started this process
    except StartError:
        raise
    # What is imported is a stranger's, and it may call sys.exit, which is no Exception.
    except BaseException as error:
        raise StartError("".join(traceback.format_exception(error))) from error


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
    hello: frames.Hello = codec.decode(greeting)
    sys.path[:] = hello.paths
    outbox = Outbox(connection, hello.limit)
    handler = Handler(outbox)
    _log_to(handler, hello.log_level)
    try:
        backends = _make(hello)
    except StartError as error:
        outbox.send(frames.Unready(str(error)))
        return
    if not logging.root.handlers:  # who has set up a log of their own has it as elsewhere
        logging.root.addHandler(handler)
    with suppress(OSError):  # the server is gone
        _Worker(connection, outbox, handler, hello.limit).serve(backends)

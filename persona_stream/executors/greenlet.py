"""Executor of this process: a greenlet for each query, and what connects it to its run.

Greenlets are cheap and can be killed at any wait, for code that waits in Python's sockets. Code that computes for long,
or waits in C without gevent's knowledge, stalls all other streams there: it belongs to a worker.
"""

import contextvars
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

import gevent
from gevent import monkey
from gevent.event import Event

from persona_stream.backends.base import Backend
from persona_stream.concurrency import HubThread, TimeSlice
from persona_stream.core.content import ProviderFields, slices
from persona_stream.core.query import InputRequest, Query, QueryContext, UpstreamCall
from persona_stream.core.result import Raised, Returned, TaskResult, capture
from persona_stream.errors import InputUnavailable
from persona_stream.executors.base import Executor, TaskCallbacks

_thread_id: Callable[[], int] = monkey.get_original("_thread", "get_ident")
_allocate_lock: Callable[[], Any] = monkey.get_original("_thread", "allocate_lock")

_MAX_WAIT = 3600.0  # seconds; a native lock does not take an infinite timeout


class Signal:
    """Signal that greenlets and native threads can wait for.

    Greenlets of the event loop's thread wait on a gevent event, other threads on a native lock: they need no event loop
    of their own.
    """

    __slots__ = ("_event", "_is_set", "_locks", "_thread")

    def __init__(self, thread: int | None = None) -> None:
        """Create the signal; ``thread`` is that of the event loop, the current one by default."""
        self._thread = _thread_id() if thread is None else thread
        self._is_set = False
        self._event: Event | None = None
        self._locks: list[Any] | None = None  # of the native threads that wait

    def __bool__(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Set the signal for good and wake all waiters. Must be called in the thread of the event loop."""
        self._is_set = True
        if self._event is not None:
            self._event.set()
        locks = self._locks
        while locks:
            locks.pop().release()

    def wait(self, seconds: float) -> bool:
        """Sleep for ``seconds`` or until the signal is set; return whether it is set."""
        if self._is_set:
            return True
        if _thread_id() == self._thread:
            if self._event is None:
                self._event = Event()
            self._event.wait(seconds)
        else:
            self._wait_natively(seconds)
        return self._is_set

    def _wait_natively(self, seconds: float) -> None:
        lock = _allocate_lock()
        lock.acquire()
        if self._locks is None:
            self._locks = []
        self._locks.append(lock)
        # set() sets the flag before it releases the locks in the list: so no waiter is missed.
        if not self._is_set:
            lock.acquire(timeout=max(0.0, seconds))
        with suppress(ValueError):  # set() has removed it
            self._locks.remove(lock)


class CancelToken(Signal):
    """Cancel signal of a query."""

    __slots__ = ()


class _PendingInput(Signal):
    """Answer to a question of a query, which its code waits for."""

    __slots__ = ("_answer", "_question")

    def __init__(self, thread: int, question: str) -> None:
        super().__init__(thread)
        self._question = question
        self._answer: tuple[str | None] | None = None

    def set_answer(self, value: str | None) -> None:
        """Set the answer, and wake the code that waits."""
        self._answer = (value,)
        self.set()

    def result(self) -> str | None:
        """Wait for the answer; raise ``InputUnavailable`` if the signal is set without one."""
        while not self.wait(_MAX_WAIT):
            pass
        if self._answer is None:
            raise InputUnavailable(self._question)
        return self._answer[0]


class QueryControl(Protocol):
    """Connection of a task to the code of its query, for what the run sends to it."""

    def cancel(self) -> None:
        """Set the cancel signal, and end the waiting for answers."""

    def answer(self, input_id: str, value: str | None) -> None:
        """Pass the answer to a question, or ``None`` at its timeout."""


class TaskContext(QueryContext):
    """Context of a query in this process: forwards calls from any thread to the callbacks.

    ``cancel``, ``answer`` and ``close`` belong to the thread of the event loop.
    """

    __slots__ = ("_callbacks", "_hub_thread", "_inputs", "_is_closed", "_turn", "cancelled")

    cancelled: CancelToken

    def __init__(self, callbacks: TaskCallbacks, hub_thread: HubThread, turn: TimeSlice) -> None:
        self._callbacks = callbacks
        self._hub_thread = hub_thread
        self._turn = turn
        self._inputs: dict[str, _PendingInput] = {}
        self._is_closed = False
        self.cancelled = CancelToken()

    def cancel(self) -> None:
        """Set the cancel token, and end the waiting for answers."""
        self.cancelled.set()
        self.close()

    def close(self) -> None:
        """Put no more questions to the user, and end the waiting for answers."""
        self._is_closed = True
        while self._inputs:
            self._inputs.popitem()[1].set()

    def answer(self, input_id: str, value: str | None) -> None:
        """Pass the answer to a question."""
        if (pending := self._inputs.pop(input_id, None)) is not None:
            pending.set_answer(value)

    def on_progress(self, message: str, fraction: float | None) -> None:
        """Forward a progress report."""
        self._forward(self._callbacks.on_progress, message, fraction)

    def on_text(self, text: str) -> None:
        """Forward a part of the answer."""
        for part in slices(text):
            self._forward(self._callbacks.on_text, part)

    def on_reasoning(self, text: str) -> None:
        """Forward a part of the reasoning."""
        for part in slices(text):
            self._forward(self._callbacks.on_reasoning, part)

    def on_extras(self, extras: ProviderFields) -> None:
        """Forward fields of the message."""
        self._forward(self._callbacks.on_extras, extras)

    def on_upstream_call(self, call: UpstreamCall) -> None:
        """Forward a call to a provider."""
        self._forward(self._callbacks.on_upstream_call, call)

    def on_ask(self, request: InputRequest) -> _PendingInput:
        """Forward a question."""
        pending = _PendingInput(self._hub_thread.ident, request.question)
        self._hub_thread.call_soon(self._ask, request, pending)
        return pending

    def _ask(self, request: InputRequest, pending: _PendingInput) -> None:
        if self._is_closed:
            pending.set()
            return
        self._inputs[request.input_id] = pending
        self._callbacks.on_ask(request)

    def _forward(self, callback: Callable[..., None], *args: object) -> None:
        self._hub_thread.call_soon(callback, *args)
        # Code that sends without ever waiting would let no other greenlet run, nor its own deadline.
        if self._hub_thread.is_current:
            self._turn.limit()


class GreenletTask:
    """Function that runs in a greenlet and reports its result to the callbacks."""

    __slots__ = ("_callbacks", "_control", "_greenlet")

    def __init__(
        self, callbacks: TaskCallbacks, control: QueryControl | None, function: Callable[..., None], *args: object
    ) -> None:
        """Start ``function``, which reports a result to the callbacks, its first argument, unless it is killed."""
        self._callbacks = callbacks
        self._control = control
        # A greenlet starts with an empty context: without a copy of this one, tracing and log context end here.
        self._greenlet = gevent.spawn(contextvars.copy_context().run, function, callbacks, *args)
        # A greenlet that is killed before its first switch never runs; a link is called on every path.
        self._greenlet.rawlink(self._on_end)

    def cancel(self) -> bool:
        """Kill the greenlet at its next wait."""
        # Killed first, so that code that waits for the token does not return a result.
        self._greenlet.kill(block=False)
        if self._control is not None:
            self._control.cancel()
        return True

    def answer(self, input_id: str, value: str | None) -> None:
        """Pass the answer to a question to the code of the query."""
        if self._control is not None:
            self._control.answer(input_id, value)

    def _on_end(self, _greenlet: gevent.Greenlet) -> None:
        self._callbacks.on_released()


class GreenletExecutor(Executor):
    """Executor that runs each query in a greenlet of its own."""

    place = "in greenlets of the server"

    def __init__(self) -> None:
        self._hub_thread = HubThread()
        self._turn = TimeSlice()  # of all queries

    def submit(self, backend: Backend, query: Query, callbacks: TaskCallbacks) -> GreenletTask:
        """Start the query in a greenlet."""
        callbacks.on_started()
        context = TaskContext(callbacks, self._hub_thread, self._turn)
        return GreenletTask(callbacks, context, _process_query, backend, replace(query, _context=context), context)


def _process_query(callbacks: TaskCallbacks, backend: Backend, query: Query, context: TaskContext) -> None:
    # The result is no variable of this frame, to which the traceback of an exception refers: without the cycle, memory
    # is freed at once and not by the collector.
    _report(callbacks, _capture(backend, query, context))


def _capture(backend: Backend, query: Query, context: TaskContext) -> TaskResult:
    # Like ``capture``, but called without ``*``: such calls take C stack, of which each waiting greenlet keeps a copy.
    try:
        return Returned(backend.process_query(query))
    except BaseException as error:  # noqa: BLE001 - SystemExit too ends only its run
        return Raised(error)
    finally:
        context.close()  # a thread that the code has started may still wait for an answer


def run_and_report(callbacks: TaskCallbacks, function: Callable[..., object], *args: object) -> None:
    """Call a function, and report its value or its exception; nothing if the greenlet is killed."""
    _report(callbacks, capture(function, *args))


def _report(callbacks: TaskCallbacks, result: TaskResult) -> None:
    if not (isinstance(result, Raised) and isinstance(result.error, gevent.GreenletExit)):
        callbacks.on_result(result)

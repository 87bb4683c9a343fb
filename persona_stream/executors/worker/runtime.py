"""Runtime of queries in an unpatched process: a thread for each ``def``, one event loop for all ``async def``.

A worker on this machine and a Celery worker both run it. The code of a backend finds here what it finds without a
server: native threads, subprocesses, an event loop of asyncio.

Invariants:
    Every query ends with exactly one ``on_result``, whatever its code raises; the event loop then turns again.
    This module imports no gevent.
"""

import asyncio
import ctypes
import inspect
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context
from dataclasses import replace
from functools import partial
from typing import Any

from persona_stream import telemetry
from persona_stream.backends.base import Backend
from persona_stream.core.query import InputRequest, Query, QueryContext
from persona_stream.core.result import Raised, Returned, TaskResult, WorkerError, capture
from persona_stream.errors import InputUnavailable
from persona_stream.logging import current_run_id, trace_headers

logger = logging.getLogger("persona_stream.executors")

_RUNTIME_MODULES = ("persona_stream.", "asyncio.events")  # they call the code of a query
_SPAWN_INTERVAL = 0.002  # seconds between two attempts to start a subprocess
LOOP_BLOCKED_AFTER = 3.0  # seconds without a turn of the event loop


class _EventLoopPolicy(asyncio.AbstractEventLoopPolicy):
    """Event loop policy that gives every thread a current event loop, as Python gives its main thread one.

    It completes the policy of the backend, such as that of uvloop, which has neither such loops nor a child watcher for
    the loops of asyncio (MagicStack/uvloop #702, #112).
    """

    def __init__(self, policy: asyncio.AbstractEventLoopPolicy) -> None:
        self._policy = policy
        self._default = asyncio.DefaultEventLoopPolicy()

    def get_event_loop(self) -> asyncio.AbstractEventLoop:
        """Return the current event loop; create one if there is none, or if a previous query has closed it."""
        with suppress(RuntimeError, NotImplementedError):
            if not (loop := self._policy.get_event_loop()).is_closed():
                return loop
        loop = self.new_event_loop()
        self.set_event_loop(loop)
        return loop

    def set_event_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Set the current event loop of this thread."""
        self._policy.set_event_loop(loop)

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Create an event loop."""
        loop = self._policy.new_event_loop()
        if type(loop) is not asyncio.SelectorEventLoop:
            for name in ("subprocess_exec", "subprocess_shell"):
                setattr(loop, name, partial(_start_subprocess, getattr(loop, name)))
        return loop

    def get_child_watcher(self) -> Any:
        """Return the watcher of child processes; Python 3.14 has none."""
        try:
            return self._policy.get_child_watcher()
        except NotImplementedError:
            return self._default.get_child_watcher()

    def set_child_watcher(self, watcher: Any) -> None:
        """Set the watcher of child processes; Python 3.14 has none."""
        try:
            self._policy.set_child_watcher(watcher)
        except NotImplementedError:
            self._default.set_child_watcher(watcher)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute that only the policy of the backend has."""
        return getattr(self._policy, name)


async def _start_subprocess(start: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
    """Start a subprocess, again if another thread starts one at this moment: uvloop fails then (its #508)."""
    while True:
        try:
            return await start(*args, **kwargs)
        except RuntimeError as error:
            if "Racing with another loop" not in str(error):
                raise
        await asyncio.sleep(_SPAWN_INTERVAL)


def install_event_loop_policy() -> None:
    """Make ``asyncio.get_event_loop().run_until_complete(...)`` work in the threads of queries, with any policy."""
    policy = asyncio.get_event_loop_policy()
    if not isinstance(policy, _EventLoopPolicy):
        asyncio.set_event_loop_policy(_EventLoopPolicy(policy))


class CancelFlag(threading.Event):
    """Cancel signal of a query in this process."""

    __bool__ = threading.Event.is_set

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep for ``timeout`` seconds or until the flag is set; return whether it is set."""
        return super().wait(None if timeout is None else max(0.0, timeout))


class QueryConnection(QueryContext):
    """Connection of a query to the process that submitted it. Its methods are called from any thread."""

    __slots__ = ("_inputs", "_is_closed", "_lock", "cancelled")

    cancelled: CancelFlag

    def __init__(self) -> None:
        self._inputs: dict[str, tuple[str, Future[str | None]]] = {}
        self._is_closed = False
        self._lock = threading.Lock()
        self.cancelled = CancelFlag()

    def on_begin(self) -> bool:
        """Handle the start of the query's code, before it runs; return false to prevent it."""
        return True

    def on_ask(self, request: InputRequest) -> "Future[str | None]":
        """Put a question to the user; return the future of its answer."""
        future: Future[str | None] = Future()
        with self._lock:
            is_open = not self._is_closed
            if is_open and not request.is_refused:
                self._inputs[request.input_id] = (request.question, future)
        if is_open:
            self.send_question(request)
        else:
            future.set_exception(InputUnavailable(request.question))
        return future

    def answer(self, input_id: str, value: str | None) -> None:
        """Pass the answer to a question to the code that waits for it."""
        with self._lock:
            _, future = self._inputs.pop(input_id, ("", None))
        if future is not None and future.set_running_or_notify_cancel():
            future.set_result(value)

    def close(self) -> None:
        """Put no more questions to the user, and end the waiting for answers."""
        with self._lock:
            self._is_closed = True
            pending = list(self._inputs.values())
            self._inputs.clear()
        for question, future in pending:
            if future.set_running_or_notify_cancel():
                future.set_exception(InputUnavailable(question))

    def send_question(self, request: InputRequest) -> None:
        """Send a question; ``answer`` will be called with the answer."""
        raise NotImplementedError

    def on_result(self, result: TaskResult) -> None:
        """Handle the end of the query. Called once, last."""
        raise NotImplementedError


class RunningQuery:
    """Query in this process, from its submission to its result."""

    __slots__ = (
        "_cancelled_at", "_connection", "_loop", "_pid", "_run_id", "_task", "_thread", "_trace_headers", "_unclaimed",
    )  # fmt: skip

    def __init__(self, run_id: str, trace_headers: Mapping[str, str], connection: QueryConnection) -> None:
        self._run_id = run_id
        self._trace_headers = trace_headers
        self._connection = connection
        self._pid = os.getpid()
        self._thread = 0
        self._unclaimed = [True]  # empty once the query has been started or withdrawn: taking it out is atomic
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._cancelled_at: float | None = None

    def cancel(self) -> None:
        """Set the cancel flag, and cancel the task of an ``async def``. Any thread may call this."""
        self._cancelled_at = time.monotonic()
        self._connection.cancelled.set()
        self._connection.close()
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the query has ended
                self._loop.call_soon_threadsafe(self._cancel_task)

    def answer(self, input_id: str, value: str | None) -> None:
        """Pass the answer to a question to the code. Any thread may call this."""
        self._connection.answer(input_id, value)

    def withdraw(self) -> bool:
        """Prevent the start of the query; return ``False`` if its code has started, or has been withdrawn before."""
        try:
            return self._unclaimed.pop()
        except IndexError:
            return False

    def _claim(self) -> bool:
        return self.withdraw() and self._connection.on_begin()

    def interrupt(self) -> None:
        """Raise an exception in the code of a cancelled query that blocks the event loop; C code must return first."""
        if self._task is None or self._loop is None or self._cancelled_at is None:
            return
        if asyncio.current_task(self._loop) is self._task:
            error = ctypes.py_object(asyncio.CancelledError)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), error)

    @property
    def seconds_since_cancel(self) -> float:
        """Seconds since the cancellation; 0.0 without one."""
        return 0.0 if self._cancelled_at is None else time.monotonic() - self._cancelled_at

    @property
    def stack(self) -> str:
        """Current stack of the query's code, for the log."""
        if self._task is not None:
            return "".join(line for frame in self._task.get_stack() for line in traceback.format_stack(frame, limit=1))
        return format_thread(self._thread)

    def run(self, backend: Backend, query: Query) -> None:
        """Run the query in the current thread, with an event loop of its own if it is ``async``, unless withdrawn."""
        if not (backend.is_async or self._claim()):
            return
        try:
            self._set_context()
            self._thread = threading.get_ident()
            install_event_loop_policy()  # the backend may have set another one, even in an earlier query
            bound = replace(query, _context=self._connection)
            if backend.is_async:
                result = capture(asyncio.run, self._run_task(backend, bound))
                if isinstance(result, Raised):  # otherwise the task has reported it
                    self._end(result)
            else:
                self._end(capture(backend.process_query, bound))
        except BaseException as error:  # noqa: BLE001 - see below
            # Code of the query that still acts on this thread: a trace function, or a timeout that raises an exception
            # in the thread after its block has ended (glenfant/stopit). It would lose the end of the query.
            self._end(Raised(error))

    def start_task(self, backend: Backend, query: Query, loop: asyncio.AbstractEventLoop) -> None:
        """Start the query as a task of a loop, in the thread of the loop, unless it is withdrawn."""
        install_event_loop_policy()
        context = Context()
        context.run(self._set_context)
        bound = replace(query, _context=self._connection)
        # The task must not be collected as garbage: this object refers to it.
        self._task = task = loop.create_task(self._run_task(backend, bound), context=context)
        task.add_done_callback(self._on_task_done)

    async def _run_task(self, backend: Backend, query: Query) -> None:
        if not self._claim():
            return
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._task = task = asyncio.current_task()
        result: TaskResult = Raised(WorkerError("the event loop was closed while it ran the query"))
        try:
            if self._connection.cancelled:
                raise asyncio.CancelledError  # noqa: TRY301 - cancelled before the first step
            value: Any = backend.process_query(query)
            result = Returned(await value if inspect.isawaitable(value) else value)
        except BaseException as error:  # noqa: BLE001 - any exception of the backend ends only its query
            result = Raised(error)
        finally:
            self._task = None
            del task
            self._end(result)

    def _on_task_done(self, task: "asyncio.Task[None]") -> None:
        """End the query after an exception in the runtime itself, as in ``run``."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end(Raised(error))

    def _end(self, result: TaskResult) -> None:
        if os.getpid() != self._pid:
            # The query's code has forked this process, and has left the function in the child too.
            _exit_child(result)
        self._connection.close()
        self._connection.on_result(result)

    def _set_context(self) -> None:
        current_run_id.set(self._run_id)
        trace_headers.set(self._trace_headers)
        telemetry.attach(self._trace_headers)

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._task.cancel()


class EventLoopThread:
    """Event loop in a thread of its own. It goes on when a task raises ``SystemExit`` or stops the loop."""

    def __init__(self, threads: int) -> None:
        install_event_loop_policy()
        self.loop = asyncio.new_event_loop()
        if isinstance(self.loop, asyncio.BaseEventLoop):  # others do not read Python's clock
            # A query that freezes the clock would stop the timers of all others (spulec/freezegun #437).
            self.loop.time = partial(time.monotonic)  # type: ignore[method-assign]  # a name of it would be patched too
        # Of asyncio.to_thread and name resolution.
        self.loop.set_default_executor(ThreadPoolExecutor(threads, "persona_stream to_thread"))
        self._turned_at = time.monotonic()
        self._is_asked = False
        self._thread = threading.Thread(target=self._run_forever, name="persona_stream event loop", daemon=True)
        self._thread.start()

    def blocked_seconds(self) -> float:
        """Return how long the loop has not turned, as of the previous call; called periodically by one thread."""
        if not self._is_asked:
            self._is_asked = True
            self._turned_at = time.monotonic()
            self.loop.call_soon_threadsafe(self._turn)
            return 0.0
        return time.monotonic() - self._turned_at

    @property
    def stack(self) -> str:
        """Current stack of the loop's thread."""
        return format_thread(self._thread.ident or 0)

    def _turn(self) -> None:
        self._is_asked = False

    def _run_forever(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self.loop.is_closed():
            try:
                self.loop.run_forever()
            # SystemExit and KeyboardInterrupt of a task leave run_forever, and the tasks of other queries remain.
            except BaseException:
                logger.exception("the backend ended the event loop; it continues")
            else:
                logger.error("the backend stopped the event loop; it continues")


class Runtime:
    """Backends of this process, and the threads and the event loop that run their queries."""

    def __init__(self, backends: Mapping[str, Backend], threads: int) -> None:
        """Create the runtime; ``threads`` is the maximum number of concurrent ``def`` queries."""
        self.backends = backends
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "persona_stream query")
        self._loop: EventLoopThread | None = None
        self._lock = threading.Lock()

    def submit(self, name: str, query: Query, running: RunningQuery) -> None:
        """Start a query of the backend ``name``; its connection receives the result."""
        backend = self.backends[name]
        if backend.is_async:
            loop = self._get_loop().loop
            loop.call_soon_threadsafe(running.start_task, backend, query, loop)
        else:
            self._pool.submit(_empty_context_run, running.run, backend, query)

    def blocked_loop(self) -> tuple[float, str] | None:
        """Return for how long the event loop has been blocked, and its stack; ``None`` if it turns."""
        if self._loop is None or (seconds := self._loop.blocked_seconds()) < LOOP_BLOCKED_AFTER:
            return None
        return seconds, self._loop.stack

    def _get_loop(self) -> EventLoopThread:
        with self._lock:
            if self._loop is None:
                self._loop = EventLoopThread(self._threads)
            return self._loop


def _exit_child(result: TaskResult) -> None:
    """End this process, with the exit code of a script."""
    code: object = 0
    if isinstance(result, Raised) and isinstance(result.error, SystemExit):
        code = 0 if result.error.code is None else result.error.code
    elif isinstance(result, Raised):
        traceback.print_exception(result.error)
        code = 1
    with suppress(Exception):  # the backend may have closed them
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def _empty_context_run(function: Callable[..., None], *args: object) -> None:
    # A thread of the pool would keep the context variables of its previous query.
    Context().run(function, *args)


def format_thread(ident: int) -> str:
    """Return the current stack of a thread, below the runtime's own frames; empty if the thread has ended."""
    frame = sys._current_frames().get(ident)
    if frame is None:
        return ""
    own = 0
    for caller, _ in traceback.walk_stack(frame):
        if str(caller.f_globals.get("__name__")).startswith(_RUNTIME_MODULES):
            break
        own += 1
    return "".join(traceback.format_stack(frame, limit=own or None))

"""asyncio executor: runs ``async def`` backends on one event loop in a native thread.

gevent and asyncio each need to be the event loop of their thread. So asyncio has a thread of its own, with the selector
that gevent's patching replaces, and with native threads for ``asyncio.to_thread`` and name resolution: a patched thread
would be a greenlet of a gevent loop that never runs there.
"""

import asyncio
import contextvars
import inspect
from collections.abc import Callable
from concurrent.futures import Executor as FutureExecutor
from dataclasses import replace
from typing import Any

import gevent
from gevent import monkey

from persona_stream.backends.base import Backend, ProcessQuery
from persona_stream.concurrency import HubThread
from persona_stream.core.query import Query
from persona_stream.core.result import Raised, Returned, TaskResult
from persona_stream.executors.base import Executor, TaskCallbacks
from persona_stream.executors.local import TaskContext

_Selector: Any = monkey.get_original("selectors", "DefaultSelector")
_Queue: Any = monkey.get_original("queue", "SimpleQueue")
_start_thread: Callable[[Callable[[], None], tuple[()]], int] = monkey.get_original("_thread", "start_new_thread")

MAX_HELPER_THREADS = 32  # for the blocking calls of async code


class AsyncioExecutor(Executor):
    """Executor that runs each query as a task of one shared event loop."""

    def __init__(self) -> None:
        self._hub_thread = HubThread()
        self._loop: _Loop | None = None

    def submit(self, backend: Backend, query: Query, callbacks: TaskCallbacks) -> "_AsyncioTask":
        """Start the query on the event loop."""
        callbacks.on_started()
        if self._loop is None:  # not earlier: a server may fork after the application was created
            self._loop = _Loop(_Selector())
            _start_thread(self._loop.run_forever, ())
        task = _AsyncioTask(self._loop, self._hub_thread, callbacks)
        task.submit(backend.process_query, query)
        return task


class _AsyncioTask:
    """Query on the loop. ``_start`` and ``_run`` run in the thread of the loop, the rest in the thread of gevent's."""

    __slots__ = ("_callbacks", "_context", "_hub_thread", "_is_cancelled", "_loop", "_task")

    def __init__(self, loop: "_Loop", hub_thread: HubThread, callbacks: TaskCallbacks) -> None:
        self._loop = loop
        self._hub_thread = hub_thread
        self._callbacks = callbacks
        self._context = TaskContext(callbacks, hub_thread)
        self._task: asyncio.Task[None] | None = None
        self._is_cancelled = False

    def submit(self, process_query: ProcessQuery, query: Query) -> None:
        bound = replace(query, _context=self._context)
        self._loop.call_soon_threadsafe(self._start, process_query, bound, contextvars.copy_context())

    def cancel(self) -> bool:
        self._is_cancelled = True
        self._context.cancelled.set()
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
        return True

    def _start(self, process_query: ProcessQuery, query: Query, context: contextvars.Context) -> None:
        self._task = self._loop.create_task(self._run(process_query, query), context=context)
        if self._is_cancelled:
            # Not at once: a task that is cancelled before its first step never runs, and would not be released.
            self._loop.call_soon(self._task.cancel)

    async def _run(self, process_query: ProcessQuery, query: Query) -> None:
        result: TaskResult | None = None
        try:
            value: Any = process_query(query)
            result = Returned(await value if inspect.isawaitable(value) else value)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            # After cancel() the run has ended; a cancellation from within is a failure of the backend.
            result = None if task is not None and task.cancelling() else Raised(error)
        except BaseException as error:  # noqa: BLE001 - any exception of the backend ends only its run, not the loop
            result = Raised(error)
        finally:
            self._hub_thread.call_soon(gevent.spawn, self._finish, result)

    def _finish(self, result: TaskResult | None) -> None:
        try:
            if result is not None and not self._is_cancelled:
                self._callbacks.on_result(result)
        finally:
            self._callbacks.on_released()


class _Loop(asyncio.SelectorEventLoop):
    """Event loop whose helper threads are native."""

    def __init__(self, selector: Any) -> None:
        super().__init__(selector)
        self._calls: Any = _Queue()
        self._thread_count = 0
        self._busy_count = 0

    def run_in_executor(  # type: ignore[override]  # typeshed's type variables of the arguments add nothing here
        self, executor: FutureExecutor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call a function in a native thread, or in ``executor`` if given."""
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        future = self.create_future()
        future.add_done_callback(self._on_done)
        self._busy_count += 1
        if self._busy_count > self._thread_count and self._thread_count < MAX_HELPER_THREADS:
            self._thread_count += 1
            _start_thread(self._serve, ())
        self._calls.put((future, func, args))
        return future

    def _on_done(self, _: object) -> None:
        self._busy_count -= 1

    def _serve(self) -> None:
        while True:
            future, func, args = self._calls.get()
            try:
                result = func(*args)
            except BaseException as error:  # noqa: BLE001 - raised again by the code that awaits the future
                self.call_soon_threadsafe(_settle, future, future.set_exception, error)
            else:
                self.call_soon_threadsafe(_settle, future, future.set_result, result)


def _settle(future: asyncio.Future[Any], setter: Callable[[Any], None], value: object) -> None:
    if not future.done():  # it may have been cancelled
        setter(value)

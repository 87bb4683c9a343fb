"""Run an ``async def`` process_query on an event loop of its own, in a native thread.

gevent and asyncio each want to be the loop of their thread. So asyncio gets a thread, with the selector that gevent
took away, and with native threads for ``asyncio.to_thread`` and name look-ups: a patched thread would be a greenlet
of a hub that nobody runs there.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import gevent
from gevent import monkey

from persona_stream.concurrency import HubThread
from persona_stream.executors.base import Raised, Returned, TaskResult

_Selector: Any = monkey.get_original("selectors", "DefaultSelector")
_Queue: Any = monkey.get_original("queue", "SimpleQueue")
_start_thread: Callable[[Callable[[], None], tuple[()]], int] = monkey.get_original("_thread", "start_new_thread")

_THREADS = 32  # for blocking calls that async code hands off


class AsyncioExecutor:
    """Give every query a task on one shared event loop."""

    capacity = None

    def __init__(self) -> None:
        self._home = HubThread()
        self._loop: _Loop | None = None

    def start(
        self, work: Callable[[], object], on_outcome: Callable[[TaskResult], None], on_release: Callable[[], None]
    ) -> _AsyncioTask:
        if self._loop is None:  # not before: a server may fork after the application was made
            self._loop = _Loop(_Selector())
            _start_thread(self._loop.run_forever, ())
        context = contextvars.copy_context()
        started = _AsyncioTask(self._loop)

        def conclude(outcome: TaskResult | None) -> None:
            try:
                if outcome is not None:
                    on_outcome(outcome)
            finally:
                on_release()

        def done(outcome: TaskResult | None) -> None:
            self._home.call_soon(lambda: gevent.spawn(conclude, outcome))

        started.begin(work, done, context)
        return started


class _AsyncioTask:
    """One task; every method but ``kill`` and ``begin`` runs in the loop's thread."""

    __slots__ = ("_killed", "_loop", "_task")

    def __init__(self, loop: _Loop) -> None:
        self._loop = loop
        self._task: asyncio.Task[None] | None = None
        self._killed = False

    def begin(
        self, work: Callable[[], object], done: Callable[[TaskResult | None], None], context: contextvars.Context
    ) -> None:
        def create() -> None:
            self._task = self._loop.create_task(_run(work, done), context=context)
            if self._killed:
                self._task.cancel()

        self._loop.call_soon_threadsafe(create)

    def cancel(self) -> bool:
        self._killed = True
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
        return True


async def _run(work: Callable[[], object], done: Callable[[TaskResult | None], None]) -> None:
    outcome: TaskResult | None = None
    try:
        value = work()
        outcome = Returned(await value if inspect.isawaitable(value) else value)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        # Cancelled by us, the run has its ending; cancelled from within, it is the backend's own failure.
        outcome = None if task is not None and task.cancelling() else Raised(error)
    except BaseException as error:  # noqa: BLE001 - whatever a stranger's code raises ends its run, not our loop
        outcome = Raised(error)
    finally:
        done(outcome)


class _Loop(asyncio.SelectorEventLoop):
    """An event loop whose helper threads are native ones."""

    def __init__(self, selector: Any) -> None:
        super().__init__(selector)
        self._calls: Any = _Queue()
        self._threads = self._busy = 0

    def run_in_executor(  # type: ignore[override]  # typeshed's type variables of the arguments say nothing here
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call a function in a native thread; in ``executor`` if somebody brings one."""
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        future = self.create_future()
        future.add_done_callback(self._one_less)
        self._busy += 1
        if self._busy > self._threads and self._threads < _THREADS:
            self._threads += 1
            _start_thread(self._serve, ())
        self._calls.put((future, func, args))
        return future

    def _one_less(self, _: object) -> None:
        self._busy -= 1

    def _serve(self) -> None:
        while True:
            future, func, args = self._calls.get()
            try:
                result = func(*args)
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever awaits the future
                self.call_soon_threadsafe(_settle, future, future.set_exception, error)
            else:
                self.call_soon_threadsafe(_settle, future, future.set_result, result)


def _settle(future: asyncio.Future[Any], settle: Callable[[Any], None], value: object) -> None:
    if not future.done():  # it may have been cancelled meanwhile
        settle(value)

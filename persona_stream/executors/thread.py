"""Thread executor: for code that blocks without gevent's knowledge, or computes in Python.

A thread cannot be killed: when its run ends early, subscribers are notified at once, and the slot stays in use until
the code returns.
"""

from __future__ import annotations

import contextvars
from dataclasses import replace
from functools import partial
from typing import Any

import gevent
from gevent.threadpool import ThreadPool

from persona_stream.backends.base import Backend
from persona_stream.concurrency import HubThread, reduce_switch_interval
from persona_stream.core.query import Query
from persona_stream.core.result import capture
from persona_stream.executors.base import Executor, TaskCallbacks
from persona_stream.executors.cancellation import CancelToken, TaskContext


class _ThreadTask:
    __slots__ = ("_token",)

    def __init__(self, token: CancelToken) -> None:
        self._token = token

    def cancel(self) -> bool:
        self._token.set()
        return False


class ThreadExecutor(Executor):
    """Executor that runs each query in a thread of a bounded pool."""

    def __init__(self, threads: int) -> None:
        """Create the pool of at most ``threads`` threads; each one starts when it is needed."""
        reduce_switch_interval()
        self.capacity = threads
        self._hub_thread = HubThread()
        self._pool = ThreadPool(threads)

    def submit(self, backend: Backend, query: Query, callbacks: TaskCallbacks) -> _ThreadTask:
        """Start the query in a thread."""
        callbacks.on_started()
        context = TaskContext(callbacks, self._hub_thread)
        bound = replace(query, _context=context)
        result = self._pool.spawn(contextvars.copy_context().run, capture, backend.process_query, bound)
        # The link is called by the event loop itself, which must not block.
        result.rawlink(partial(gevent.spawn, _finish, callbacks))
        return _ThreadTask(context.cancelled)


def _finish(callbacks: TaskCallbacks, result: Any) -> None:
    try:
        callbacks.on_result(result.get())
    finally:
        callbacks.on_released()

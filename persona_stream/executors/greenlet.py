"""Greenlet executor: cheap tasks that can be killed at any wait, for code that waits in Python's sockets.

Code that computes for long, or waits in C without gevent's knowledge, stalls all other streams: it belongs to the
``thread`` executor.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from dataclasses import replace

import gevent

from persona_stream.backends.base import Backend
from persona_stream.concurrency import HubThread
from persona_stream.core.query import Query
from persona_stream.core.result import Raised, capture
from persona_stream.executors.base import Executor, TaskCallbacks
from persona_stream.executors.cancellation import CancelToken, TaskContext


class GreenletTask:
    """Function that runs in a greenlet and reports its result to the callbacks."""

    __slots__ = ("_greenlet", "_token")

    def __init__(
        self, callbacks: TaskCallbacks, token: CancelToken | None, function: Callable[..., object], *args: object
    ) -> None:
        self._token = token
        # A greenlet starts with an empty context: without a copy of this one, tracing and log context end here.
        self._greenlet = gevent.spawn(contextvars.copy_context().run, _run, callbacks, function, args)
        # A greenlet that is killed before its first switch never runs; a link is called on every path.
        self._greenlet.rawlink(lambda _: callbacks.on_released())

    def cancel(self) -> bool:
        """Kill the greenlet at its next wait."""
        # Killed first, so that code that waits for the token does not return a result.
        self._greenlet.kill(block=False)
        if self._token is not None:
            self._token.set()
        return True


class GreenletExecutor(Executor):
    """Executor that runs each query in a greenlet of its own."""

    def __init__(self) -> None:
        self._hub_thread = HubThread()

    def submit(self, backend: Backend, query: Query, callbacks: TaskCallbacks) -> GreenletTask:
        """Start the query in a greenlet."""
        callbacks.on_started()
        context = TaskContext(callbacks, self._hub_thread)
        return GreenletTask(callbacks, context.cancelled, backend.process_query, replace(query, _context=context))


def _run(callbacks: TaskCallbacks, function: Callable[..., object], args: tuple[object, ...]) -> None:
    result = capture(function, *args)
    if not (isinstance(result, Raised) and isinstance(result.error, gevent.GreenletExit)):
        callbacks.on_result(result)

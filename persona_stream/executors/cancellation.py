"""Connection of a query in this process to its run: cancel token and calls into the event loop's thread."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gevent import monkey
from gevent.event import Event

from persona_stream.concurrency import HubThread
from persona_stream.core.query import QueryContext, UpstreamCall
from persona_stream.executors.base import TaskCallbacks

_thread_id: Callable[[], int] = monkey.get_original("_thread", "get_ident")
_allocate_lock: Callable[[], Any] = monkey.get_original("_thread", "allocate_lock")


class CancelToken:
    """Cancel signal that greenlets and native threads can wait for.

    Greenlets of the thread that created the token wait on a gevent event, other threads on a native lock: they need
    no event loop of their own.
    """

    __slots__ = ("_event", "_is_set", "_locks", "_thread")

    def __init__(self) -> None:
        self._thread = _thread_id()
        self._is_set = False
        self._event: Event | None = None
        self._locks: list[Any] = []

    def __bool__(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Set the token for good and wake all waiters. Must be called in the thread that created the token."""
        self._is_set = True
        if self._event is not None:
            self._event.set()
        while self._locks:
            self._locks.pop().release()

    def wait(self, seconds: float) -> bool:
        """Sleep for ``seconds`` or until the token is set; return whether it is set."""
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
        self._locks.append(lock)
        # set() sets the flag before it releases the locks in the list: so no waiter is missed.
        if not self._is_set:
            lock.acquire(timeout=max(0.0, seconds))
        with suppress(ValueError):  # set() has removed it
            self._locks.remove(lock)


class TaskContext(QueryContext):
    """Context of a query in this process: forwards calls from any thread to the callbacks."""

    __slots__ = ("_callbacks", "_hub_thread", "cancelled")

    cancelled: CancelToken

    def __init__(self, callbacks: TaskCallbacks, hub_thread: HubThread) -> None:
        self._callbacks = callbacks
        self._hub_thread = hub_thread
        self.cancelled = CancelToken()

    def on_progress(self, message: str, fraction: float | None) -> None:
        """Forward a progress report."""
        self._hub_thread.call_soon(self._callbacks.on_progress, message, fraction)

    def on_text(self, text: str) -> None:
        """Forward a part of the answer."""
        self._hub_thread.call_soon(self._callbacks.on_text, text)

    def on_reasoning(self, text: str) -> None:
        """Forward a part of the reasoning."""
        self._hub_thread.call_soon(self._callbacks.on_reasoning, text)

    def on_upstream_call(self, call: UpstreamCall) -> None:
        """Forward a call to a provider."""
        self._hub_thread.call_soon(self._callbacks.on_upstream_call, call)

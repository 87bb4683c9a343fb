"""Say to code that cooperates that nobody waits for it any more, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gevent import monkey
from gevent.event import Event

_thread_id: Callable[[], int] = monkey.get_original("_thread", "get_ident")
_allocate_lock: Callable[[], Any] = monkey.get_original("_thread", "allocate_lock")


class CancelToken:
    """Be false until ``set`` is called, and wake those who wait for that.

    Greenlets of the hub that sets it wait as greenlets do, and native threads on a lock of the system's: they need no
    hub of their own for it.
    """

    __slots__ = ("_event", "_is_set", "_locks", "_thread")

    def __init__(self) -> None:
        """Begin as false. It belongs to the thread that makes it, and to the hub there."""
        self._thread = _thread_id()
        self._is_set = False
        self._event: Event | None = None
        self._locks: list[Any] = []

    def __bool__(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Become true, for good. Call it in the thread that made it."""
        self._is_set = True
        if self._event is not None:
            self._event.set()
        while self._locks:
            self._locks.pop().release()

    def wait(self, seconds: float) -> bool:
        """Sleep for so many seconds, or until it is set; tell whether it is."""
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
        # Who sets it says so first, and then wakes those who are in the list: so nobody is missed.
        if not self._is_set:
            lock.acquire(timeout=max(0.0, seconds))
        with suppress(ValueError):  # whoever woke us took it out
            self._locks.remove(lock)

"""The few things we ask of gevent's event loop, in one place.

Everything here belongs to the thread that runs the hub, but for ``Home.call``, which any thread may use.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import gevent
from gevent import monkey
from gevent.hub import Hub, get_hub

T = TypeVar("T")

_SWITCH = 0.0005  # seconds

_thread_id: Callable[[], int] = monkey.get_original("_thread", "get_ident")


def reduce_switch_interval() -> None:
    """Have threads that compute beside the hub give it the interpreter soon.

    One keeps the lock for so long each time that the hub wants it, which is after each of its system calls: Python's
    own 5 ms add up.
    """
    sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH))


class Wakeup:
    """Let one greenlet sleep until a moment, or until somebody rings.

    A ring while nobody sleeps is kept: the next sleep ends at once. So nothing is missed between looking at a
    journal and going to sleep, and a spurious wake is possible and harmless.
    """

    __slots__ = ("_greenlet", "_hub", "_rung")

    def __init__(self) -> None:
        self._hub = get_hub()
        self._greenlet: Any = None
        self._rung = False

    def wait(self, seconds: float) -> None:
        """Park the current greenlet."""
        if not self._rung:
            timer = self._hub.loop.timer(max(0.0, seconds))
            self._greenlet = gevent.getcurrent()
            timer.start(self._wake)
            try:
                self._hub.switch()
            finally:
                self._greenlet = None
                timer.stop()
                timer.close()
        self._rung = False

    def set(self) -> None:
        """Wake the sleeper, soon. Never switches, so it can be called from anywhere in the hub's thread."""
        if not self._rung:
            self._rung = True
            if self._greenlet is not None:
                self._hub.loop.run_callback(self._wake)

    def _wake(self) -> None:
        # Both the timer and a ring may come in one turn of the loop: only the first finds the sleeper asleep.
        if self._greenlet is not None:
            self._greenlet.switch()


class Timer:
    """Call a function in a greenlet of its own, later, unless cancelled before."""

    __slots__ = ("_timer",)

    def __init__(self, seconds: float, function: Callable[..., object], *args: object, **more: object) -> None:
        self._timer = get_hub().loop.timer(max(0.0, seconds))
        # The loop's own callbacks must not block, and what is called here may ask a store: hence the greenlet.
        self._timer.start(partial(gevent.spawn, function, *args, **more))

    def cancel(self) -> None:
        """Do not call it, if it was not called yet."""
        self._timer.stop()
        self._timer.close()


class HubThread:
    """Bring calls from any thread into the thread of the hub that this was made in."""

    __slots__ = ("_hub", "_thread")

    def __init__(self) -> None:
        self._hub: Hub = get_hub()
        self._thread = _thread_id()

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call ``function`` in the hub's thread: now if we are there, else soon. It must not block."""
        if _thread_id() == self._thread:
            function()
        else:
            self._hub.loop.run_callback_threadsafe(function)


def set_error_handler(tell: Callable[[BaseException], None]) -> None:
    """Have errors that nobody caught, in any greenlet of this thread, told instead of printed. Must not raise."""
    hub = get_hub()

    def told(context: object, kind: type[BaseException], error: BaseException | None, trace: object) -> None:
        caught = kind() if error is None else error
        if gevent.getcurrent() is hub:  # where nothing may wait, for the log neither
            gevent.spawn(tell, caught)
        else:
            tell(caught)

    hub.print_exception = told


def run_in_threadpool(function: Callable[[str], T], text: str) -> T:
    """Call a function in a native thread of the hub's pool, and wait for it while others move on."""
    result: T = get_hub().threadpool.apply(function, (text,))
    return result

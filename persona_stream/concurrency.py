"""Primitives of gevent's event loop: wake-up signal, timers, calls into the loop's thread, cooperative logging.

Everything here belongs to the thread that runs the loop, except ``HubThread.call_soon``, which any thread may call.
"""

import heapq
import itertools
import logging
import math
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import gevent
from gevent import monkey
from gevent.hub import Hub, get_hub
from gevent.lock import BoundedSemaphore

P = ParamSpec("P")
T = TypeVar("T")

SWITCH_INTERVAL = 0.0005  # seconds
SHARED_TIMER_SLACK = 0.005  # seconds that a timer may be early
MAX_CANCELLED = 1000  # timers that may stay in memory until their time
MAX_TURN = 0.002  # seconds of an iteration of the loop that frequent work may take

_thread_id: Callable[[], int] = monkey.get_original("_thread", "get_ident")


def reduce_switch_interval() -> None:
    """Reduce the interpreter's switch interval, so that threads that compute yield to the event loop sooner.

    The loop reacquires the interpreter lock after each of its system calls: Python's default of 5 ms adds up.
    """
    sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL))


class Wakeup:
    """Signal that ends the sleep of one greenlet.

    Setting it while no greenlet waits is remembered: the next wait ends at once. So no signal is lost between reading
    a journal and waiting for it to grow; a spurious wake-up is possible and harmless.
    """

    __slots__ = ("_greenlet", "_hub", "_is_set")

    def __init__(self) -> None:
        self._hub = get_hub()
        self._greenlet: Any = None
        self._is_set = False

    def wait(self, seconds: float) -> None:
        """Suspend the current greenlet until the signal is set, or for ``seconds``."""
        if not self._is_set:
            timer = self._hub.loop.timer(max(0.0, seconds))
            self._greenlet = gevent.getcurrent()
            timer.start(self._wake)
            try:
                self._hub.switch()
            finally:
                self._greenlet = None
                timer.stop()
                timer.close()
        self._is_set = False

    def wait_until(
        self, condition: Callable[[], bool], seconds: float = math.inf, poll_interval: float = math.inf
    ) -> bool:
        """Wait until a condition holds, for at most ``seconds``; return whether it holds.

        It is checked at first, at each signal, and every ``poll_interval`` seconds.
        """
        until = time.monotonic() + seconds
        while not (holds := condition()) and (remaining := until - time.monotonic()) > 0:
            self.wait(min(remaining, poll_interval))
        return holds

    def set(self) -> None:
        """Wake the waiting greenlet in the next iteration of the loop. Never switches greenlets."""
        if not self._is_set:
            self._is_set = True
            if self._greenlet is not None:
                self._hub.loop.run_callback(self._wake)

    def _wake(self) -> None:
        # The timer and the signal may both fire in one iteration: only the first finds the greenlet waiting.
        if self._greenlet is not None:
            self._greenlet.switch()


class TimeSlice:
    """Time that frequent work takes of each iteration of the event loop, together with all work that shares the object.

    ``gevent.sleep(0)`` alone does not suffice: the loop polls its sockets again after up to 50 callbacks, each of which
    may have taken milliseconds.
    """

    __slots__ = ("_began_at", "_hub", "_iteration")

    def __init__(self) -> None:
        self._hub = get_hub()
        self._iteration = -1
        self._began_at = 0.0

    def limit(self) -> None:
        """Let the event loop poll and run what is due, if the work has taken ``MAX_TURN`` of this iteration."""
        now = time.monotonic()
        loop = self._hub.loop
        if loop.iteration != self._iteration:
            self._iteration = loop.iteration
            self._began_at = now
        elif now - self._began_at > MAX_TURN:
            with loop.timer(0) as timer:
                self._hub.wait(timer)


class SharedTimer:
    """Delayed call that shares a timer of the loop and a greenlet with the others that are due at about the same time.

    For frequent calls, which cost less than a timer of the loop and a greenlet each. The function must not block.
    """

    __slots__ = ("_function", "_schedule")

    def __init__(self, seconds: float, function: Callable[..., object]) -> None:
        self._function: Callable[..., object] | None = function
        hub = get_hub()
        if (schedule := _schedules.get(hub)) is None:
            schedule = _schedules[hub] = _Schedule(hub)
        self._schedule = schedule
        schedule.add(time.monotonic() + seconds, self)

    @property
    def is_cancelled(self) -> bool:
        """Whether the call will not be made, or has been."""
        return self._function is None

    def call(self) -> None:
        """Make the call, unless it was cancelled."""
        if self._function is not None:
            function = self._function
            self._function = None
            self._make(function)

    def cancel(self) -> None:
        """Cancel the call, unless it has been made."""
        if self._function is not None:
            self._function = None
            self._schedule.on_cancel()

    def _make(self, function: Callable[..., object]) -> None:
        function()


class Timer(SharedTimer):
    """Delayed call of a function in a greenlet of its own, so that it may block."""

    __slots__ = ("_arguments",)

    def __init__(self, seconds: float, function: Callable[..., object], *arguments: object) -> None:
        self._arguments = arguments
        super().__init__(seconds, function)

    def _make(self, function: Callable[..., object]) -> None:
        gevent.spawn(function, *self._arguments)


class _Schedule:
    """Shared timers of one event loop, in the order of their time."""

    def __init__(self, hub: Hub) -> None:
        self._loop = hub.loop
        self._calls: list[tuple[float, int, SharedTimer]] = []
        self._cancelled = 0  # of the calls, at most: some may have left the list since
        self._count = itertools.count()  # calls of the same moment are made in the order of their creation
        self._next_at = math.inf  # when the timer of the loop expires; 0.0 while calls are made
        self._timer: Any = None

    def add(self, at: float, call: SharedTimer) -> None:
        """Add a call at a moment of the monotonic clock."""
        heapq.heappush(self._calls, (at, next(self._count), call))
        if at < self._next_at:
            self._start_timer(at)

    def on_cancel(self) -> None:
        """Remove the cancelled calls when they are most of all: deadlines are minutes away, and most runs are short."""
        self._cancelled += 1
        if self._cancelled > MAX_CANCELLED and self._cancelled > len(self._calls) // 2:
            self._cancelled = 0
            self._calls[:] = [entry for entry in self._calls if not entry[2].is_cancelled]
            heapq.heapify(self._calls)

    def _start_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.close()
        self._next_at = at
        self._timer = self._loop.timer(max(0.0, at - time.monotonic()))
        # Without the update, a loop that was blocked counts from before that, and the timer expires early.
        self._timer.start(gevent.spawn, self._run, update=True)

    def _run(self) -> None:
        self._next_at = 0.0
        turn = TimeSlice()
        try:
            while self._calls and self._calls[0][0] <= time.monotonic() + SHARED_TIMER_SLACK:
                turn.limit()
                heapq.heappop(self._calls)[2].call()
        finally:  # after an exception too, which is that of one call
            self._next_at = math.inf
            if self._calls:
                self._start_timer(self._calls[0][0])


_schedules: "weakref.WeakKeyDictionary[Hub, _Schedule]" = weakref.WeakKeyDictionary()


class HubThread:
    """Thread of the event loop in which the object is created."""

    __slots__ = ("_hub", "_thread")

    def __init__(self) -> None:
        self._hub: Hub = get_hub()
        self._thread = _thread_id()

    @property
    def ident(self) -> int:
        """Identifier of the thread."""
        return self._thread

    @property
    def is_current(self) -> bool:
        """Whether the caller is a greenlet of this thread that may switch."""
        return _thread_id() == self._thread and gevent.getcurrent() is not self._hub

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call ``function`` in the thread of the loop: at once if called there, else soon. It must not block.

        Calls from one other thread are made in their order.
        """
        if _thread_id() == self._thread:
            function(*args)
        else:
            self._hub.loop.run_callback_threadsafe(function, *args)


def set_error_handler(handler: Callable[[BaseException], None]) -> None:
    """Pass unhandled exceptions of this thread's greenlets to ``handler`` instead of printing them. Must not raise."""
    hub = get_hub()

    def handle(context: object, kind: type[BaseException], error: BaseException | None, traceback: object) -> None:
        caught = kind() if error is None else error
        if gevent.getcurrent() is hub:  # the loop itself must not block, not even for the log
            gevent.spawn(handler, caught)
        else:
            handler(caught)

    hub.print_exception = handle


def yield_when_logging() -> None:
    """Let the event loop run while code in a greenlet of this thread logs without end.

    Not the server's own code, which does not expect that other greenlets run when it logs.
    """
    thread = HubThread()
    turn = TimeSlice()
    create = logging.getLogRecordFactory()  # called before the handlers' locks are taken

    def create_record(name: str | None, *args: Any, **kwargs: Any) -> logging.LogRecord:
        if thread.is_current and not (name or "").startswith("persona_stream"):
            turn.limit()
        return create(name, *args, **kwargs)

    logging.setLogRecordFactory(create_record)


def run_in_threadpool(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a native thread of gevent's pool, and wait for the result while other greenlets run."""
    result: T = get_hub().threadpool.apply(function, args, kwargs)
    return result


LARGE_CHARACTERS = 1_000_000
"""Size of a text from which the threads that process such texts take turns."""

_large_turns: "weakref.WeakKeyDictionary[Hub, BoundedSemaphore]" = weakref.WeakKeyDictionary()


def compute_in_threadpool(characters: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Process a text of so many characters as ``run_in_threadpool`` does; one large text at a time.

    Two threads that compute for long hand the interpreter lock to each other, and the event loop gets it late.
    """
    if characters < LARGE_CHARACTERS:
        return run_in_threadpool(function, *args, **kwargs)
    hub = get_hub()
    if hub not in _large_turns:
        _large_turns[hub] = BoundedSemaphore(1)
    with _large_turns[hub]:
        return run_in_threadpool(function, *args, **kwargs)

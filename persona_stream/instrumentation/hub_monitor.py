"""Notice a blocked hub, from a native thread, and say which line of whose code blocks it.

While one greenlet computes, or waits in C without gevent's knowledge, no other stream gets its events. gevent's own
monitor would trace every switch between greenlets; a heartbeat costs four turns of the loop a second.

How late the hub is: a greenlet that sleeps, and says by how much it overslept.

What it oversleeps is what every event of every stream waits beyond its moment. The watchdog speaks up when that is a
second; this one gives the number, always, at four turns of the loop a second.
"""

from __future__ import annotations

import logging
import sys
import sysconfig
import time
from collections.abc import Callable
from types import CodeType, FrameType

import gevent
from gevent import monkey
from gevent.hub import get_hub

from persona_stream.core.clock import Clock

logger = logging.getLogger("persona_stream.watchdog")

_BEAT = 0.25  # seconds
_ALIKE = 2  # so many looks in a row that find the greenlet of the look before: one blocks; else all are busy
_LIBRARIES = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})

_start_thread: Callable[[Callable[[], None], tuple[()]], int] = monkey.get_original("_thread", "start_new_thread")
_thread_id: Callable[[], int] = monkey.get_original("_thread", "get_ident")
_sleep: Callable[[float], None] = monkey.get_original("time", "sleep")


class HubWatchdog:
    """Watch the hub of the thread that starts this."""

    def __init__(self, on_blocked: Callable[[FrameType], str] = lambda frame: "", limit: float = 1.0) -> None:
        """Begin with nothing.

        Args:
            blame: is told of the frame that blocks the hub, in the watching thread, and says what to do about it.
            limit: for how many seconds a hub may be blocked.
        """
        self._blame, self._limit = on_blocked, limit
        self._beat_at = time.monotonic()
        self._reported = 0.0  # the heartbeat after which something was reported
        self._thread = 0

    def start(self) -> None:
        """Begin to watch."""
        self._thread = _thread_id()
        self._timer = get_hub().loop.timer(_BEAT, _BEAT)
        self._timer.start(self._beat)
        _start_thread(self._watch, ())

    def _beat(self) -> None:
        before, self._beat_at = self._beat_at, time.monotonic()
        if self._reported == before:
            # Not here, in the hub: the other thread may be writing to the log, and nothing may wait here.
            gevent.spawn(logger.warning, "the hub is free again, after %.1f s", self._beat_at - before)

    def _watch(self) -> None:
        same, last = 0, 0
        while True:
            _sleep(_BEAT)
            frame = sys._current_frames().get(self._thread)
            if frame is None:  # the thread that we watch has ended
                return
            greenlet = id(_outermost(frame))
            same, last = (same + 1 if greenlet == last else 0), greenlet
            beat_at = self._beat_at
            if time.monotonic() - beat_at > self._limit and self._reported != beat_at:
                self._reported = beat_at
                if same >= _ALIKE:
                    self._tell_blocked(frame)
                else:
                    logger.warning("the hub is over %.0f s behind: more is due than one process can do", self._limit)
            del frame

    def _tell_blocked(self, frame: FrameType) -> None:
        logger.error(
            "the hub has been blocked for over %.0f s by %s: no stream moves meanwhile.%s",
            self._limit,
            blocking_location(frame),
            self._blame(frame),
        )


def _outermost(frame: FrameType) -> FrameType:
    """Give the frame that a greenlet began with, which tells it from others."""
    while frame.f_back is not None:
        frame = frame.f_back
    return frame


def blocking_location(frame: FrameType) -> str:
    """Name the function and line that run now; first the innermost that is no library's, which its author knows."""
    own: FrameType | None = frame
    while own is not None and own.f_code.co_filename.startswith(_LIBRARIES):
        own = own.f_back
    if own is None or own is frame:
        return _place(frame.f_code, frame.f_lineno)
    return f"{_place(own.f_code, own.f_lineno)}, in {_place(frame.f_code, frame.f_lineno)}"


def _place(code: CodeType, line: int) -> str:
    return f"{code.co_qualname}() at {code.co_filename}:{line}"


_EVERY = 0.25  # seconds


def start_lag_monitor(tell: Callable[[float], None], clock: Clock) -> None:
    """Begin to tell by how many seconds each sleep was too long. What is told must not block or raise."""
    gevent.spawn(_beat, tell, clock)


def _beat(tell: Callable[[float], None], clock: Clock) -> None:
    while True:
        due = clock() + _EVERY
        gevent.sleep(_EVERY)
        tell(max(0.0, clock() - due))

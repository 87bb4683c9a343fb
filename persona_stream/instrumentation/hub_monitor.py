"""Monitor of the event loop: measures its lag, and names the code that blocks it.

While one greenlet computes, or waits in C without gevent's knowledge, no other stream gets its events. The delay of a
heartbeat is the lag of each event, and a native thread notices when it stops. gevent's own monitor would trace every
switch between greenlets; a heartbeat costs four turns of the loop a second.
"""

import logging
import sys
import sysconfig
from collections.abc import Callable
from types import FrameType

import gevent.monkey
from gevent.hub import Hub

from persona_stream.core.clock import Clock

logger = logging.getLogger("persona_stream.watchdog")

HEARTBEAT_INTERVAL = 0.25  # seconds
BLOCKED_AFTER = 1.0  # seconds without a heartbeat
MIN_SAME_SAMPLES = 2  # consecutive samples of one greenlet that make it the cause; otherwise all are busy

_LIBRARIES = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})

_start_thread: Callable[[Callable[[], None], tuple[()]], int] = gevent.monkey.get_original(
    "_thread", "start_new_thread"
)
_thread_id: Callable[[], int] = gevent.monkey.get_original("_thread", "get_ident")
_sleep: Callable[[float], None] = gevent.monkey.get_original("time", "sleep")


class EventLoopMonitor:
    """Monitor of the event loop of the thread that starts it."""

    def __init__(self, clock: Clock, on_lag: Callable[[float], None], on_blocked: Callable[[FrameType], str]) -> None:
        """Create a monitor that does nothing before ``start``; any thread may call the clock.

        ``on_lag`` gets the delay of each heartbeat in seconds, and must not block or raise. ``on_blocked`` gets the
        frame that blocks the event loop, in the monitoring thread, and returns advice.
        """
        self._clock = clock
        self._on_lag = on_lag
        self._on_blocked = on_blocked
        self._beat_at = clock()
        self._reported_at = 0.0  # the heartbeat after which a report was logged
        self._thread = 0

    def start(self) -> None:
        """Start the heartbeat and the thread that watches it."""
        self._thread = _thread_id()
        gevent.spawn(self._beat)
        _start_thread(self._watch, ())

    def _beat(self) -> None:
        while True:
            beat_at = self._beat_at = self._clock()
            gevent.sleep(HEARTBEAT_INTERVAL)
            seconds = self._clock() - beat_at
            self._on_lag(max(0.0, seconds - HEARTBEAT_INTERVAL))
            if self._reported_at == beat_at:
                # In another greenlet: the monitoring thread may be writing to the log, and the heartbeat must not wait.
                gevent.spawn(logger.warning, "the event loop is free again after %.1f s", seconds)

    def _watch(self) -> None:
        same_samples = 0
        last_greenlet = 0
        while True:
            _sleep(HEARTBEAT_INTERVAL)
            frame = sys._current_frames().get(self._thread)
            if frame is None:  # the monitored thread has ended
                return
            greenlet = id(_outermost(frame))
            same_samples = same_samples + 1 if greenlet == last_greenlet else 0
            last_greenlet = greenlet
            beat_at = self._beat_at
            if self._clock() - beat_at > BLOCKED_AFTER and self._reported_at != beat_at:
                self._reported_at = beat_at
                self._report(frame, is_blocked=same_samples >= MIN_SAME_SAMPLES and not is_loop(frame))
            del frame

    def _report(self, frame: FrameType, *, is_blocked: bool) -> None:
        if is_blocked:
            text = "the event loop has been blocked for over %.0f s by %s: all streams are stalled.%s"
            logger.error(text, BLOCKED_AFTER, blocking_location(frame), self._on_blocked(frame))
        else:
            logger.warning("the event loop is over %.0f s behind: this process is overloaded", BLOCKED_AFTER)


def is_loop(frame: FrameType) -> bool:
    """Return whether the thread runs no Python code but the loop itself: a late heartbeat is not due to blocking."""
    return frame.f_code is Hub.run.__code__


def _outermost(frame: FrameType) -> FrameType:
    """Return the frame that a greenlet began with, which identifies it."""
    while frame.f_back is not None:
        frame = frame.f_back
    return frame


def blocking_location(frame: FrameType) -> str:
    """Return the function and line that run now, preceded by the innermost ones outside of libraries."""
    own: FrameType | None = frame
    while own is not None and own.f_code.co_filename.startswith(_LIBRARIES):
        own = own.f_back
    if own is None or own is frame:
        return _location(frame)
    return f"{_location(own)}, in {_location(frame)}"


def _location(frame: FrameType) -> str:
    return f"{frame.f_code.co_qualname}() at {frame.f_code.co_filename}:{frame.f_lineno}"

"""Do something soon, but no more often than so."""

from __future__ import annotations

from collections.abc import Callable

from persona_stream.concurrency import Timer
from persona_stream.core.clock import Clock


class Pace:
    """Call a function at once when that is asked for, or else as soon as enough time has passed since the last call."""

    __slots__ = ("_action", "_clock", "_every", "_last", "_timer")

    def __init__(self, every: float, action: Callable[[], object], clock: Clock) -> None:
        """Begin.

        Args:
            every: how many seconds are between two calls, at the least.
            action: what to call, in a greenlet of its own.
            clock: tells the moment.
        """
        self._every, self._action, self._clock = every, action, clock
        self._last = 0.0
        self._timer: Timer | None = None

    def soon(self) -> None:
        """See that it is called, once for all that ask before it is."""
        if self._timer is None:
            self._timer = Timer(max(0.0, self._last + self._every - self._clock()), self._act)

    def begin_anew(self) -> None:
        """Count from now on, because it was done already."""
        self.cancel()
        self._last = self._clock()

    def cancel(self) -> None:
        """Do not call it, if it was not called yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _act(self) -> None:
        self._timer = None
        self._last = self._clock()
        self._action()

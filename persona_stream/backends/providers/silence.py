"""End a stream that has fallen silent.

A socket's own timeout does not do: it is set before the provider says whether it streams at all, and a keep-alive
that says nothing starts it anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from persona_stream.core.clock import Clock


class Silence:
    """Watch over one stream, in a thread of its own (under gevent a greenlet) from the first ``allow`` on.

    Attributes:
        struck: whether the stream was ended.
    """

    def __init__(self, stop: Callable[[], object], clock: Clock) -> None:
        """Begin without a limit.

        Args:
            stop: ends the stream.
            clock: tells the moment.
        """
        self._stop, self._clock = stop, clock
        self._until = 0.0
        self._thread: threading.Thread | None = None
        self._changed = threading.Event()
        self._left = False
        self.struck = False

    def __enter__(self) -> Silence:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        self._changed.set()
        # In a native thread a greenlet that nobody waits for does not run until somebody does.
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()

    def allow(self, seconds: float) -> None:
        """Let the stream go on for so long from now, whatever was allowed before."""
        until = self._clock() + seconds
        is_sooner, self._until = until < self._until, until
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="silence", daemon=True)
            self._thread.start()
        elif is_sooner:
            self._changed.set()

    def _watch(self) -> None:
        while not self._left:
            left = self._until - self._clock()
            if left <= 0:
                self.struck = True
                self._stop()
                return
            self._changed.wait(left)
            self._changed.clear()

"""Native threads that may block, for greenlets that may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import gevent
from gevent.threadpool import ThreadPool

from persona_stream.concurrency import yield_soon

T = TypeVar("T")


class Threads:
    """Call functions in so many threads. Whoever calls waits, while others move on."""

    def __init__(self, count: int) -> None:
        yield_soon()
        self._pool = ThreadPool(count)

    def call(self, function: Callable[[], T], seconds: float | None = None) -> T:
        """Give what a function returns, or raise what it raises.

        Raises:
            TimeoutError: it took longer. It goes on, and nobody hears of it.
        """

        # The pool writes a traceback for whatever is raised in it, also when somebody deals with it.
        def caught() -> tuple[T | None, BaseException | None]:
            try:
                return function(), None
            except Exception as error:  # noqa: BLE001 # it is raised again, where somebody waits for it
                return None, error

        with gevent.Timeout(seconds, TimeoutError("a thread did not answer in time")):
            value, error = self._pool.spawn(caught).get()
        if error is not None:
            raise error
        result: T = value
        return result

    def stop(self) -> None:
        """Wait for nothing, and let threads end that have nothing to do."""
        self._pool.maxsize = 0

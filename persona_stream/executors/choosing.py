"""Know which executor runs a backend's queries."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FrameType

from persona_stream.backends import Backend
from persona_stream.executors import Executor
from persona_stream.executors.event_loop import EventLoopExecutor

ADVICE = " Run it with --executor thread."
"""What to say of a backend that blocks the hub, where nothing else keeps it from that."""


class Executors:
    """Have one executor for all backends, but for those that run on an event loop."""

    def __init__(
        self,
        executor: Executor,
        advice: str = "",
        prepare: Callable[[], None] = lambda: None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        """Take it.

        Args:
            executor: the one.
            advice: what to say of a backend that blocks the hub.
            prepare: is called when the server begins to serve.
            close: is called when it has stopped.
        """
        self._executor, self._advice = executor, advice
        self._loop = functools.cache(EventLoopExecutor)
        self.prepare, self.close = prepare, close

    @property
    def capacity(self) -> int | None:
        """How many queries can be at work at once, where something bounds them all."""
        return self._executor.capacity

    def most_of(self, backend: str) -> int | None:
        """How many queries of this backend can be at work at once, where something bounds these."""
        return None

    def of(self, backend: Backend) -> Executor:
        """Give the executor for a backend's next query."""
        return self._loop() if backend.is_async else self._for(backend.name)

    def blame(self, frame: FrameType) -> str:
        """Hear of the frame that blocks the hub, in any thread, and say what to do, or what was done."""
        return self._advice

    def _for(self, backend: str) -> Executor:
        return self._executor

"""Know which executor runs a backend's queries.

Begin with greenlets, and move a backend that was caught blocking the hub to threads.

What runs already stays where it is; from then on each query of this backend has a thread.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FrameType

from persona_stream.backends.base import Backend
from persona_stream.executors.asyncio import AsyncioExecutor
from persona_stream.executors.base import Executor, Task, TaskResult
from persona_stream.executors.greenlet import GreenletExecutor
from persona_stream.executors.thread import ThreadExecutor

BLOCKING_HINT = " Run it with --executor thread."
"""What to say of a backend that blocks the hub, where nothing else keeps it from that."""


class ExecutorRegistry:
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
        self._loop = functools.cache(AsyncioExecutor)
        self.prepare, self.close = prepare, close

    @property
    def capacity(self) -> int | None:
        """How many queries can be at work at once, where something bounds them all."""
        return self._executor.capacity

    def capacity_of(self, backend: str) -> int | None:
        """How many queries of this backend can be at work at once, where something bounds these."""
        return None

    def for_backend(self, backend: Backend) -> Executor:
        """Give the executor for a backend's next query."""
        return self._loop() if backend.is_async else self._for(backend.name)

    def on_hub_blocked(self, frame: FrameType) -> str:
        """Hear of the frame that blocks the hub, in any thread, and say what to do, or what was done."""
        return self._advice

    def _for(self, backend: str) -> Executor:
        return self._executor


class AutoExecutors(ExecutorRegistry):
    """Choose for each backend by itself."""

    def __init__(self, threads: int) -> None:
        """Begin with all of them in greenlets; a backend that moves has so many threads of its own."""
        super().__init__(GreenletExecutor(), BLOCKING_HINT)
        self._count = threads
        self._moved: dict[str, Executor | None] = {}  # a thread that watches adds names, and nothing else

    def capacity_of(self, backend: str) -> int | None:
        return self._count if backend in self._moved else None

    def on_hub_blocked(self, frame: FrameType) -> str:
        backend = _backend_of(frame)
        if backend is None:
            return super().on_hub_blocked(frame)
        if backend in self._moved:
            return f" Later queries of {backend} run in threads already."
        self._moved[backend] = None
        return (
            f" Later queries of {backend} run in threads; start with --executor thread to have all of them there, or"
            " with --executor process if it computes in C."
        )

    def _for(self, backend: str) -> Executor:
        if backend not in self._moved:
            return _TaggedExecutor(self._executor, backend)
        threads = self._moved[backend]
        if threads is None:  # made here and not where it was noticed: a pool belongs to the thread of the hub
            self._moved[backend] = threads = ThreadExecutor(self._count)
        return threads


class _TaggedExecutor:
    """Have work done so that a frame of it tells whose it is."""

    def __init__(self, executor: Executor, backend: str) -> None:
        self._executor, self._backend = executor, backend
        self.capacity = executor.capacity

    def start(
        self, work: Callable[[], object], on_outcome: Callable[[TaskResult], None], on_release: Callable[[], None]
    ) -> Task:
        return self._executor.start(lambda: _run_tagged(self._backend, work), on_outcome, on_release)


def _run_tagged(backend: str, work: Callable[[], object]) -> object:
    return work()


def _backend_of(frame: FrameType | None) -> str | None:
    """Give whose work a frame is part of, unless it is nobody's."""
    while frame is not None:
        if frame.f_code is _run_tagged.__code__:
            return str(frame.f_locals["backend"])
        frame = frame.f_back
    return None

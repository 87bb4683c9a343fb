"""Run process_query in a native thread: for code that blocks without gevent's knowledge, or computes in Python.

A thread cannot be killed: when its run ends early its readers are told at once, and its place stays taken until
the code returns.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable

import gevent
from gevent.threadpool import ThreadPool

from persona_stream.concurrency import yield_soon
from persona_stream.executors.base import Outcome, Raised, Returned


class _Work:
    def kill(self) -> bool:
        return False


class ThreadExecutor:
    """Give every query a thread out of a bounded pool."""

    def __init__(self, threads: int) -> None:
        """Have so many at the most; each is started when it is needed."""
        yield_soon()
        self.capacity = threads
        self._pool = ThreadPool(threads)

    def start(
        self, work: Callable[[], object], on_outcome: Callable[[Outcome], None], on_release: Callable[[], None]
    ) -> _Work:
        context = contextvars.copy_context()
        result = self._pool.spawn(context.run, _run, work)

        def conclude() -> None:
            try:
                on_outcome(result.get())
            finally:
                on_release()

        # The link is called in the hub, where nothing may block.
        result.rawlink(lambda _: gevent.spawn(conclude))
        return _Work()


def _run(work: Callable[[], object]) -> Outcome:
    try:
        return Returned(work())
    except BaseException as error:  # noqa: BLE001 - whatever a stranger's code raises ends its run, not our thread
        return Raised(error)

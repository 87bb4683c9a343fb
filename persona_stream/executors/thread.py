"""Run process_query in a native thread: for code that blocks without gevent's knowledge, or computes in Python.

A thread cannot be killed: when its run ends early its readers are told at once, and its place stays taken until
the code returns.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable

import gevent
from gevent.threadpool import ThreadPool

from persona_stream.concurrency import reduce_switch_interval
from persona_stream.executors.base import Raised, Returned, TaskResult


class _ThreadTask:
    def cancel(self) -> bool:
        return False


class ThreadExecutor:
    """Give every query a thread out of a bounded pool."""

    def __init__(self, threads: int) -> None:
        """Have so many at the most; each is started when it is needed."""
        reduce_switch_interval()
        self.capacity = threads
        self._pool = ThreadPool(threads)

    def start(
        self, work: Callable[[], object], on_outcome: Callable[[TaskResult], None], on_release: Callable[[], None]
    ) -> _ThreadTask:
        context = contextvars.copy_context()
        result = self._pool.spawn(context.run, _run, work)

        def conclude() -> None:
            try:
                on_outcome(result.get())
            finally:
                on_release()

        # The link is called in the hub, where nothing may block.
        result.rawlink(lambda _: gevent.spawn(conclude))
        return _ThreadTask()


def _run(work: Callable[[], object]) -> TaskResult:
    try:
        return Returned(work())
    except BaseException as error:  # noqa: BLE001 - whatever a stranger's code raises ends its run, not our thread
        return Raised(error)

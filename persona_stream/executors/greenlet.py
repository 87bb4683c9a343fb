"""Run process_query in a greenlet: cheap, killable at any wait, and right for code that waits through sockets.

Code that computes for long, or waits in C without gevent's knowledge, stops every other stream meanwhile: such
code belongs to the ``thread`` executor.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable

import gevent

from persona_stream.executors.base import Raised, Returned, TaskResult


class _GreenletTask:
    __slots__ = ("_greenlet",)

    def __init__(self, greenlet: gevent.Greenlet) -> None:
        self._greenlet = greenlet

    def cancel(self) -> bool:
        self._greenlet.kill(block=False)
        return True


class GreenletExecutor:
    """Give every query a greenlet of its own."""

    capacity = None

    def start(
        self, work: Callable[[], object], on_outcome: Callable[[TaskResult], None], on_release: Callable[[], None]
    ) -> _GreenletTask:
        # A greenlet starts with an empty context: hand it ours, or tracing and log context end here.
        context = contextvars.copy_context()
        greenlet = gevent.spawn(context.run, _run, work, on_outcome)
        # A greenlet that is killed before its first turn never runs: only a link is called on every path.
        greenlet.rawlink(lambda _: on_release())
        return _GreenletTask(greenlet)


def _run(work: Callable[[], object], on_outcome: Callable[[TaskResult], None]) -> None:
    outcome: TaskResult
    try:
        outcome = Returned(work())
    except gevent.GreenletExit:
        return
    except BaseException as error:  # noqa: BLE001 - whatever a stranger's code raises, SystemExit too, ends its run
        outcome = Raised(error)
    on_outcome(outcome)

"""Have processes answer, as many as there are queries at once, and have some of them ready.

What waits for a process is a greenlet: when it is killed, so is what it waits for, and its place is taken until that
is gone.
"""

from __future__ import annotations

import logging
import os
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import gevent
from gevent.event import Event

from persona_stream.backends.base import Backend
from persona_stream.concurrency import Timer
from persona_stream.core.query import Query
from persona_stream.executors.base import Task, TaskResult, WorkerError
from persona_stream.executors.greenlet import GreenletExecutor
from persona_stream.executors.process.process import WorkerProcess
from persona_stream.executors.process.protocol import Init

logger = logging.getLogger("persona_stream.executors")

_FEW = 8  # processes: also where there is one processor, some queries wait for something else
_IDLE = 60.0  # seconds, after which those that are more than ready are let go
_MOST = 1000  # queries; then a fresh process has the memory that a leak took


def pool_sizes(asked: int | None) -> tuple[int, int]:
    """Give how many processes may be at work, and how many of them are kept ready.

    Args:
        asked: how many somebody asked for; ``None`` leaves that to the machine.
    """
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = max(_FEW, 2 * processors) if asked is None else asked
    return most, min(most, processors)


class ProcessPool:
    """Give every query a process, out of a bounded number."""

    def __init__(
        self,
        make: Callable[[], Mapping[str, Backend]],
        *,
        most: int,
        ready: int,
        max_answer_bytes: int,
        max_tasks_per_process: int = _MOST,
        idle_timeout: float = _IDLE,
    ) -> None:
        """Start nothing yet: a server may fork after the application was made.

        Args:
            make: makes the backends, and gives them by name; can be pickled. It is called in each process.
            most: how many processes may be at work.
            ready: how many are kept, at work or idle; and how many may begin at once.
            max_answer_bytes: how large an answer may be.
            asked: after how many queries a process is replaced.
            idle: for how many seconds those above ``ready`` are kept with nothing to do.
        """
        self.capacity = most
        self._make, self._limit, self._asked, self._patience = (
            make,
            max_answer_bytes,
            max_tasks_per_process,
            idle_timeout,
        )
        self._ready = max(1, min(ready, most))
        self._greenlets = GreenletExecutor()
        self._all: set[WorkerProcess] = set()
        self._idle: list[WorkerProcess] = []
        self._fails = self._is_closed = False
        self._news: Any = Event()  # is set, and replaced, when somebody can have a process

    def start(
        self, work: Callable[[], object], on_outcome: Callable[[TaskResult], None], on_release: Callable[[], None]
    ) -> Task:
        return self._greenlets.start(work, on_outcome, on_release)

    def backend(self, name: str, backend: Backend) -> Backend:
        """Give a backend that has its work done by the processes' one of this name."""
        return replace(backend, process_query=partial(self._answer, name))

    def prepare(self) -> None:
        """Start those that shall be ready; none where the last one could not begin."""
        try:
            while self._count() < self._ready and self._may_begin and not (self._fails or self._is_closed):
                self._idle.append(self._start())
        except WorkerError as error:
            self._fails = True
            logger.error("%s", error)  # noqa: TRY400 - it says all; and whoever asks is told too

    def close(self) -> None:
        """End all of them."""
        self._is_closed = True
        for process in self._all:
            process.kill()
        while self._all:
            gevent.sleep(0.01)

    def _answer(self, name: str, query: Query) -> object:
        process = self._acquire()
        try:
            return process.run(name, query)
        finally:
            process.cancel()  # if it is still at it
            self._release(process)

    def _acquire(self) -> WorkerProcess:
        """Take one that is ready, else one that will be soon; wait while too many begin."""
        while True:
            if self._idle:
                process = next((each for each in reversed(self._idle) if each.is_ready), self._idle[-1])
                self._idle.remove(process)
                break
            if self._may_begin:
                process = self._start()
                break
            self._news.wait()
        self.prepare()
        return process

    @property
    def _may_begin(self) -> bool:
        # Each computes when it begins, and the hub waits for its first step: many at once would stop all streams.
        return sum(each.is_starting for each in self._all) < self._ready

    def _tell(self) -> None:
        """Have those who wait look again."""
        news, self._news = self._news, Event()
        news.set()

    def _release(self, process: WorkerProcess) -> None:
        self._fails = self._fails and not process.has_begun
        if process.is_free and not process.is_worn and process.asked < self._asked and not self._is_closed:
            self._idle.append(process)
            if self._count() > self._ready:
                Timer(self._patience, self._retire_idle, process, process.asked)
            self._tell()
            return
        if not process.is_leaving:
            process.shutdown()
        self.prepare()

    def _retire_idle(self, process: WorkerProcess, asked: int) -> None:
        """Let one go that was asked nothing meanwhile, if there are more than shall be ready."""
        if process in self._idle and process.asked == asked and self._count() > self._ready:
            self._idle.remove(process)
            process.shutdown()

    def _count(self) -> int:
        return sum(not each.is_leaving for each in self._all)

    def _start(self) -> WorkerProcess:
        hello = Init(
            pickle.dumps(self._make),
            tuple(sys.path),
            logging.getLogger("persona_stream").getEffectiveLevel(),
            self._limit,
        )
        process = WorkerProcess(hello, self._tell, self._gone)
        self._all.add(process)
        return process

    def _gone(self, process: WorkerProcess) -> None:
        self._all.discard(process)
        self._fails = self._fails or process.failed_to_start
        if process in self._idle:
            self._idle.remove(process)
            if not self._is_closed:
                logger.error("%s", process.exit_reason)
        self._tell()

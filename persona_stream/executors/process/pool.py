"""Pool of worker processes: one for each concurrent query, some of them kept ready.

A greenlet waits for each process: when it is killed, so is the process, and the slot is in use until that is gone.
"""

import logging
import os
import pickle
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gevent
from gevent.event import Event

from persona_stream.backends.base import Backend
from persona_stream.backends.factory import build_backends
from persona_stream.concurrency import Timer
from persona_stream.core.query import Query
from persona_stream.core.result import WorkerError
from persona_stream.executors.base import Executor, TaskCallbacks
from persona_stream.executors.local import GreenletTask
from persona_stream.executors.process.process import WorkerProcess
from persona_stream.executors.process.protocol import Init
from persona_stream.personas.persona import Persona
from persona_stream.settings.schema import Settings

logger = logging.getLogger("persona_stream.executors")

MIN_PROCESSES = 8  # of the default: even on one CPU some queries wait for something else
IDLE_TIMEOUT = 60.0  # seconds
MAX_TASKS_PER_PROCESS = 1000  # then a fresh process replaces it, so that leaked memory is returned


def pool_sizes(requested: int | None) -> tuple[int, int]:
    """Return how many processes may run queries, ``None`` for a number by the CPUs, and how many are kept ready."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    capacity = max(MIN_PROCESSES, 2 * cpus) if requested is None else requested
    return capacity, min(capacity, cpus)


class ProcessPool(Executor):
    """Executor that runs each query in a process of a bounded pool."""

    def __init__(
        self,
        create_backends: Callable[[], Mapping[str, Backend]],
        *,
        capacity: int,
        ready: int,
        max_answer_bytes: int,
        max_tasks_per_process: int = MAX_TASKS_PER_PROCESS,
        idle_timeout: float = IDLE_TIMEOUT,
    ) -> None:
        """Create the pool without starting a process: a server may fork after the application was created.

        Each process creates its backends with ``create_backends``, which must be picklable. ``ready`` processes are
        kept, busy or idle, and as many may start at once; idle ones above that stop after ``idle_timeout`` seconds.
        """
        self.capacity = capacity
        self._create_backends = create_backends
        self._max_answer_bytes = max_answer_bytes
        self._max_tasks_per_process = max_tasks_per_process
        self._idle_timeout = idle_timeout
        self._ready = max(1, min(ready, capacity))
        self._all: set[WorkerProcess] = set()
        self._idle: list[WorkerProcess] = []
        self._start_fails = False
        self._is_closed = False
        self._changed: Any = Event()  # set, and replaced, when a waiting query may get a process

    @classmethod
    def from_settings(cls, settings: Settings, personas: Mapping[str, Persona] | None) -> "ProcessPool":
        """Create the pool of the settings."""
        # The default of the setting is meant for threads, which are cheap.
        capacity, ready = pool_sizes(None if settings.threads == Settings().threads else settings.threads)
        create_backends = partial(build_backends, settings, personas)
        return cls(create_backends, capacity=capacity, ready=ready, max_answer_bytes=settings.max_answer_bytes)

    def accepts(self, backend: Backend) -> bool:
        """Return whether a process can create the backend."""
        return backend.spec is not None

    def submit(self, backend: Backend, query: Query, callbacks: TaskCallbacks) -> GreenletTask:
        """Start the query in a process, as soon as there is one."""
        if backend.spec is None:
            raise ValueError(f"{backend.name} exists in this process only")
        callbacks.on_started()
        return GreenletTask(callbacks, None, self._run, backend.spec.name, query, callbacks)

    def warm_up(self) -> None:
        """Start processes until enough are ready; none after one that failed to start."""
        try:
            while self._count() < self._ready and self._may_start and not (self._start_fails or self._is_closed):
                self._idle.append(self._start())
        except WorkerError as error:
            self._start_fails = True
            logger.error("%s", error)  # noqa: TRY400 - the text is complete

    def close(self) -> None:
        """Kill all processes."""
        self._is_closed = True
        for process in self._all:
            process.kill()
        while self._all:
            gevent.sleep(0.01)

    def _run(self, backend: str, query: Query, callbacks: TaskCallbacks) -> object:
        process = self._acquire()
        try:
            return process.run(backend, query, callbacks)
        finally:
            process.cancel()  # if it still runs the query
            self._release(process)

    def _acquire(self) -> WorkerProcess:
        """Return an idle process, a ready one first, or a new one; wait while too many are starting."""
        while True:
            if self._idle:
                process = next((each for each in reversed(self._idle) if each.is_ready), self._idle[-1])
                self._idle.remove(process)
                break
            if self._may_start:
                process = self._start()
                break
            self._changed.wait()
        self.warm_up()
        return process

    @property
    def _may_start(self) -> bool:
        # Starting takes CPU time, and spawning blocks the event loop: many at once would stall all streams.
        return sum(each.is_starting for each in self._all) < self._ready

    def _notify_waiting(self) -> None:
        changed = self._changed
        self._changed = Event()
        changed.set()

    def _release(self, process: WorkerProcess) -> None:
        self._start_fails = self._start_fails and not process.has_started
        is_fresh = not process.is_tainted and process.task_count < self._max_tasks_per_process
        if process.is_free and is_fresh and not self._is_closed:
            self._idle.append(process)
            if self._count() > self._ready:
                Timer(self._idle_timeout, self._retire_idle, process, process.task_count)
            self._notify_waiting()
            return
        if not process.is_stopping:
            process.shutdown()
        self.warm_up()

    def _retire_idle(self, process: WorkerProcess, task_count: int) -> None:
        """Stop a process that has had no query since, if more than enough are ready."""
        if process in self._idle and process.task_count == task_count and self._count() > self._ready:
            self._idle.remove(process)
            process.shutdown()

    def _count(self) -> int:
        return sum(not each.is_stopping for each in self._all)

    def _start(self) -> WorkerProcess:
        log_level = logging.getLogger("persona_stream").getEffectiveLevel()
        init = Init(pickle.dumps(self._create_backends), tuple(sys.path), log_level, self._max_answer_bytes)
        process = WorkerProcess(init, self._notify_waiting, self._on_exit)
        self._all.add(process)
        return process

    def _on_exit(self, process: WorkerProcess) -> None:
        self._all.discard(process)
        self._start_fails = self._start_fails or process.failed_to_start
        if process in self._idle:
            self._idle.remove(process)
            if not self._is_closed:
                logger.error("%s", process.exit_reason)
        self._notify_waiting()

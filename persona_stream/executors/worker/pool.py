"""Executors of worker processes: one process for all queries, or one for each concurrent query.

A greenlet waits for each query: when it is killed, the query is cancelled, and the slot is in use until its code has
stopped or is given up.
"""

import logging
import os
import pickle
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import gevent
from gevent.event import Event

from persona_stream.backends.base import Backend, BackendDescription
from persona_stream.concurrency import Timer
from persona_stream.core.query import Query
from persona_stream.core.result import WorkerError
from persona_stream.executors.base import Executor, ExecutorStatistics, TaskCallbacks
from persona_stream.executors.greenlet import GreenletTask, run_and_report
from persona_stream.executors.worker.process import NotStarted, WorkerProcess
from persona_stream.executors.worker.protocol import Init
from persona_stream.settings.schema import Settings

logger = logging.getLogger("persona_stream.executors")

MIN_PROCESSES = 8  # of the default: even on one CPU some queries wait for something else
IDLE_TIMEOUT = 60.0  # seconds
COOPERATION_TIMEOUT = 0.25  # seconds for code that checks ``query.cancelled``, before its process is terminated
STOP_TIMEOUT = 10.0  # seconds for cancelled code that shares its process to stop, if it occupies many threads
GIVE_UP_TIMEOUT = 60.0  # seconds, otherwise
SPARE_THREADS = 2  # a process has one thread for cancelled code for so many queries
SILENCE_TIMEOUT = 5.0  # seconds without a sign of life
WATCH_INTERVAL = 1.0  # second
RESTART_INTERVAL = 2.0  # seconds between two attempts to start a process
MAX_RETIRED = 8  # processes that take no more queries
MAX_ATTEMPTS = 4  # of a query to find a process that begins with it
MAX_TASKS_PER_PROCESS = 1000  # then a fresh process replaces it, so that leaked memory is returned


def pool_sizes(requested: int | None) -> tuple[int, int]:
    """Return how many processes may run queries, ``None`` for a number by the CPUs, and how many are kept ready."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    capacity = max(MIN_PROCESSES, 2 * cpus) if requested is None else requested
    return capacity, min(capacity, cpus)


def _is_machine_idle() -> bool:
    return os.getloadavg()[0] < 0.5 * (os.cpu_count() or 1)


class WorkerSource:
    """First message to worker processes, which creates the backends there.

    ``create_backends`` must be picklable. ``main`` says how to load the module of the server's main script.
    """

    def __init__(
        self,
        create_backends: Callable[[], Mapping[str, Backend]],
        max_answer_bytes: int,
        main: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._create_backends = create_backends
        self._max_answer_bytes = max_answer_bytes
        self._main = main

    def create_init(self, threads: int) -> Init:
        """Return the message for a worker with so many threads."""
        log_level = logging.getLogger("persona_stream").getEffectiveLevel()
        factory = pickle.dumps(self._create_backends)
        return Init(factory, tuple(sys.path), dict(self._main), log_level, self._max_answer_bytes, threads)


class _Placement:
    """Place of a query: its worker process and its number there, once it is submitted."""

    def __init__(self) -> None:
        self._place: tuple[WorkerProcess, int] | None = None

    def submit(self, process: WorkerProcess, backend: str, query: Query, callbacks: TaskCallbacks) -> int:
        """Submit the query to a process; return its number."""
        number = process.submit(backend, query, callbacks)
        self._place = (process, number)
        return number

    def cancel(self) -> None:
        """Do nothing: the process is told by the greenlet that waits for the result."""

    def answer(self, input_id: str, value: str | None) -> None:
        """Send the answer to a question to the process."""
        if self._place is not None:
            process, number = self._place
            process.answer(number, input_id, value)


class ProcessExecutor(Executor):
    """Base of the executors that run queries in worker processes of this machine."""

    def __init__(self, source: WorkerSource) -> None:
        """Create the executor without starting a process: a server may fork after the application was created."""
        self._source = source
        self._all: set[WorkerProcess] = set()
        self._is_closed = False

    def accepts(self, backend: Backend) -> bool:
        """Return whether a process can create the backend."""
        return backend.spec is not None

    def submit(self, backend: Backend, query: Query, callbacks: TaskCallbacks) -> GreenletTask:
        """Start the query in a process."""
        if backend.spec is None:
            raise ValueError(f"{backend.name} exists in this process only")
        callbacks.on_started()
        place = _Placement()
        return GreenletTask(callbacks, place, run_and_report, self._run, place, backend.spec.name, query, callbacks)

    def close(self) -> None:
        """Let idle processes run their exit handlers, and kill the others."""
        self._is_closed = True
        for process in self._all:
            process.kill() if process.query_count or process.is_starting else process.shutdown()
        while self._all:
            gevent.sleep(0.01)

    def _run(self, place: _Placement, backend: str, query: Query, callbacks: TaskCallbacks) -> object:
        """Run a query in the first process that begins with it, and return its answer."""
        for _ in range(MAX_ATTEMPTS - 1):
            with suppress(NotStarted):
                return self._try(place, backend, query, callbacks)
        return self._try(place, backend, query, callbacks)

    def _try(self, place: _Placement, backend: str, query: Query, callbacks: TaskCallbacks) -> object:
        """Run a query in a process and return its answer; cancel it if the calling greenlet is killed.

        Raises:
            NotStarted: the process has ended, or takes no more queries, before it began with this one.
        """
        raise NotImplementedError


class WorkerExecutor(ProcessExecutor):
    """Executor that runs all queries in one worker process: ``def`` in its threads, ``async def`` on its event loop.

    A process with code that does not stop, or without a sign of life, takes no more queries. Another one takes the new
    ones, and the old one is killed when its last query has ended.
    """

    async_place = "on the event loop of a worker process"

    def __init__(self, source: WorkerSource, threads: int) -> None:
        super().__init__(source)
        self.capacity = threads
        self.place = f"in a worker process with {threads} threads"
        self._threads = threads
        self._current: WorkerProcess | None = None
        self._failure: WorkerError | None = None  # of the latest start
        self._failed_at = 0.0
        self._is_watching = False
        self._has_advised = False

    def warm_up(self) -> None:
        """Start the process."""
        with suppress(WorkerError):  # raised again for a query
            self._get_process()

    def describe(self, name: str) -> BackendDescription:
        """Return the description of a backend, once the process is ready; raise ``WorkerError`` if it fails."""
        process = self._get_process()
        process.wait_until_ready()
        return process.backends[name]

    def problems(self) -> Sequence[str]:
        """Return the reasons of the processes that take no more queries, and of a failure to start."""
        problems = [f"worker process {each.pid}: {each.problem.splitlines()[0]}" for each in self._all if each.problem]
        # The log has the traceback, which is not for everybody who may ask for the health.
        return [*problems, *(["the worker process failed to start"] if self._failure else ())]

    def statistics(self) -> ExecutorStatistics:
        """Return the numbers of processes, and of queries that do not stop."""
        retired = sum(bool(process.problem) for process in self._all)
        orphans = sum(process.orphan_count for process in self._all)
        return ExecutorStatistics(len(self._all) - retired, retired, orphans)

    def capacity_for(self, backend: Backend) -> int | None:
        """Return the number of threads; an event loop holds any number of queries."""
        return None if backend.is_async else self.capacity

    def _try(self, place: _Placement, backend: str, query: Query, callbacks: TaskCallbacks) -> object:
        process = self._get_process()
        number = 0
        try:
            process.wait_until_ready()
            number = place.submit(process, backend, query, callbacks)
            self._advise(process)
            return process.wait(number)
        finally:
            if process.has_query(number):
                gevent.spawn(self._watch_orphan, process, number)

    def _watch_orphan(self, process: WorkerProcess, number: int) -> None:
        """Wait until a cancelled query has ended; retire the process if its code does not stop.

        The run's slot is free meanwhile: a process has more threads than queries.
        """
        until = time.monotonic() + GIVE_UP_TIMEOUT
        while not process.cancel(number, STOP_TIMEOUT):
            # Code that waits for a slow server returns some time. But threads must remain for other queries.
            if time.monotonic() > until or process.orphan_count * SPARE_THREADS >= self._threads:
                process.retire("queries continue after their cancellation")
                return

    def _get_process(self) -> WorkerProcess:
        process = self._current
        if process is None or process.is_stopping:
            if self._failure is not None and time.monotonic() - self._failed_at < RESTART_INTERVAL:
                raise self._failure
            self._limit_processes()
            if not self._is_watching:
                self._is_watching = True
                gevent.spawn(self._watch)
            threads = self._threads + 1 + self._threads // SPARE_THREADS
            process = WorkerProcess(self._source.create_init(threads), self._on_change, self._on_exit)
            self._current = process
            self._all.add(process)
        return process

    def _limit_processes(self) -> None:
        """Kill the oldest process that takes no more queries, if there are too many of them."""
        retired = sorted((each for each in self._all if each.problem), key=lambda each: each.pid)
        if len(retired) >= MAX_RETIRED:
            logger.error(
                "%d worker processes take no more queries: killing the oldest, %d", len(retired), retired[0].pid
            )
            retired[0].kill()

    def _on_change(self) -> None:
        """Start the successor of a process that takes no more queries, before a query needs it."""
        process = self._current
        if process is not None and process.has_started:
            self._failure = None
        if process is not None and process.problem and not self._is_closed:
            gevent.spawn(self.warm_up)

    def _on_exit(self, process: WorkerProcess) -> None:
        self._all.discard(process)
        if process.failed_to_start:
            self._failure = WorkerError(process.exit_reason)
            self._failed_at = time.monotonic()
        if process is self._current:
            self._current = None
            if not (self._is_closed or process.problem):
                logger.error("%s", process.exit_reason)
                if process.has_started:  # importing the backend again may take long: not only when a query needs it
                    gevent.spawn(self.warm_up)

    def _watch(self) -> None:
        """Retire a process that gives no sign of life."""
        while not self._is_closed:
            gevent.sleep(WATCH_INTERVAL)
            for process in list(self._all):
                if process.is_ready and not process.problem and process.seconds_since_message > SILENCE_TIMEOUT:
                    process.dump_stacks()
                    process.retire(
                        f"it has not responded for {SILENCE_TIMEOUT:.0f} s: code holds the interpreter lock, and its"
                        " stack is on standard error"
                    )
                    gevent.spawn(process.give_back)

    def _advise(self, process: WorkerProcess) -> None:
        if process.query_count >= self._threads and not self._has_advised and _is_machine_idle():
            self._has_advised = True
            logger.warning(
                "all %d threads are busy while the processors are idle: raise threads, or, if the backend waits through"
                " Python's sockets only, use --executor greenlet, which runs thousands of queries",
                self._threads,
            )


class ProcessPool(ProcessExecutor):
    """Executor that runs each query in a process of a bounded pool."""

    def __init__(
        self,
        source: WorkerSource,
        *,
        capacity: int,
        ready: int,
        max_tasks_per_process: int = MAX_TASKS_PER_PROCESS,
        idle_timeout: float = IDLE_TIMEOUT,
    ) -> None:
        """Create the pool without starting a process.

        ``ready`` processes are kept, busy or idle, and as many may start at once; idle ones above that stop after
        ``idle_timeout`` seconds.
        """
        super().__init__(source)
        self.capacity = capacity
        self.place = self.async_place = f"in {capacity} worker processes, one query at a time in each"
        self._max_tasks_per_process = max_tasks_per_process
        self._idle_timeout = idle_timeout
        self._ready = max(1, min(ready, capacity))
        self._idle: list[WorkerProcess] = []
        self._start_fails = False
        self._changed: Any = Event()  # set, and replaced, when a waiting query may get a process

    @classmethod
    def from_settings(cls, settings: Settings, source: WorkerSource) -> "ProcessPool":
        """Create the pool of the settings."""
        # The default of the setting is meant for threads, which are cheap.
        capacity, ready = pool_sizes(None if settings.threads == Settings().threads else settings.threads)
        return cls(source, capacity=capacity, ready=ready)

    def describe(self, name: str) -> BackendDescription:
        """Return the description of a backend, once a process is ready; raise ``WorkerError`` if it fails."""
        process = self._acquire()
        try:
            process.wait_until_ready()
            return process.backends[name]
        finally:
            self._release(process)

    def statistics(self) -> ExecutorStatistics:
        """Return the number of processes."""
        return ExecutorStatistics(self._count())

    def warm_up(self) -> None:
        """Start processes until enough are ready; none after one that failed to start."""
        try:
            while self._count() < self._ready and self._may_start and not (self._start_fails or self._is_closed):
                self._idle.append(self._start())
        except WorkerError as error:
            self._start_fails = True
            logger.error("%s", error)  # noqa: TRY400 - the text is complete

    def _try(self, place: _Placement, backend: str, query: Query, callbacks: TaskCallbacks) -> object:
        process = self._acquire()
        number = 0
        try:
            process.wait_until_ready()
            number = place.submit(process, backend, query, callbacks)
            return process.wait(number)
        finally:
            if not process.cancel(number, COOPERATION_TIMEOUT):
                process.terminate()
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
        if is_fresh and not (process.is_stopping or self._is_closed):
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
        process = WorkerProcess(self._source.create_init(0), self._notify_waiting, self._on_exit)
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

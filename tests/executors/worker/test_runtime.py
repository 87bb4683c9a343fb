"""Tests of the runtime of queries: code finds threads, processes and event loops as it does without a server."""

from __future__ import annotations

import logging
import os
import re
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import gevent
import pytest

from persona_stream import Query
from persona_stream.backends.factory import build_backends
from persona_stream.core.result import Raised, Returned, WorkerError
from persona_stream.executors.worker.pool import WorkerExecutor, WorkerSource
from persona_stream.executors.worker.process import NotStarted
from persona_stream.settings import Settings
from tests.executors.recording import RecordingCallbacks, importable, submit
from tests.polling import wait_for

MODULE = "tests.executors.worker.native_backends"


class Worker:
    """Worker process with the functions of ``native_backends``."""

    def __init__(self, name: str, threads: int = 20, module: str = MODULE) -> None:
        self.path = f"{module}:{name}"
        create = partial(build_backends, Settings(backend=self.path), None)
        self.executor = WorkerExecutor(WorkerSource(create, max_answer_bytes=1_000_000), threads)

    def start(self, message: str) -> tuple[object, RecordingCallbacks]:
        """Submit a query."""
        return submit(self.executor, importable(self.path), Query(username="ada", message=message))

    def ask_many(self, message: str, count: int) -> list[object]:
        """Submit queries at once, and return their values or exceptions."""
        all_callbacks = [self.start(message)[1] for _ in range(count)]
        results = [each.released.get(timeout=60) for each in all_callbacks]
        return [result.value if isinstance(result, Returned) else result.error for result in results]

    def ask(self, message: str) -> object:
        """Submit a query, and return its value or exception."""
        return self.ask_many(message, 1)[0]


@pytest.fixture(scope="module")
def sync() -> Iterator[Worker]:
    worker = Worker("ask")
    yield worker
    worker.executor.close()


@pytest.fixture(scope="module")
def async_() -> Iterator[Worker]:
    worker = Worker("ask_async")
    yield worker
    worker.executor.close()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    logger = logging.getLogger("persona_stream")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.mark.parametrize(
    "name",
    [
        "log_and_lock",  # gevent #2013
        "subprocess",  # gevent #688
        "asyncio_run",  # asyncio-gevent #16
        "pool",  # gunicorn #1311
        "process_pool",
        "own_threads",
        "sqlite",
        "queue_between_threads",
        "asyncio_subprocess",
        "current_event_loop",
    ],
)
def test_a_function_finds_native_threads_and_processes(sync: Worker, name: str):
    """Each of them hangs or fails in a process that gevent has patched; fifty times, eight at once."""
    for _ in range(7):
        assert sync.ask_many(name, 8) == [f"{name} worked"] * 8


def test_a_closed_event_loop_is_replaced_for_the_next_query(sync: Worker):
    """Threads run one query after another, and each of them may close its loop."""
    for _ in range(2):
        assert sync.ask_many("current_event_loop close", 8) == ["current_event_loop worked"] * 8


@pytest.mark.parametrize(
    "name", ["current_event_loop", "current_event_loop close", "asyncio_run", "asyncio_subprocess"]
)
def test_a_function_finds_event_loops_with_any_policy(name: str):
    """Also where a query has set it."""
    worker = Worker("ask", module="tests.executors.worker.policy_backend")
    try:
        for _ in range(2):
            assert worker.ask_many(name, 8) == [f"{name.split()[0]} worked"] * 8
            assert worker.ask("install") == "of the backend"
        assert worker.ask("name") == "of the backend"
    finally:
        worker.executor.close()


def test_an_async_function_finds_subprocesses_with_any_policy():
    """Also while the event loop of another policy runs (ScreamingFace/screamingface PR 317)."""
    worker = Worker("ask_async", module="tests.executors.worker.policy_backend")
    try:
        for _ in range(2):
            assert worker.ask_many("subprocess", 4) == ["subprocess worked"] * 4
            assert worker.ask("install") == "of the backend"
    finally:
        worker.executor.close()


def test_an_exception_in_the_runtime_ends_the_query(sync: Worker):
    """Otherwise it would run to its deadline, in a thread that is free again."""
    assert "the trace function fails" in str(getattr(sync.ask("trace"), "traceback", ""))
    assert sync.ask("own_threads") == "own_threads worked"


def test_an_exception_in_the_runtime_ends_an_async_query(async_: Worker):
    """Of its task, which has none of the query's own exceptions."""
    assert "the trace function fails" in str(getattr(async_.ask("async_trace"), "traceback", ""))
    assert async_.ask("sleep 0") == "sleep worked"


def test_a_process_whose_files_are_used_up_is_replaced(log: pytest.LogCaptureFixture):
    """Otherwise each later query would fail (dask/dask #1411, freifunk/meshkit #24)."""
    worker = Worker("ask")
    try:
        assert "Too many open files" in getattr(worker.ask("use_files"), "traceback", "")
        gevent.sleep(2.5)  # until it has looked, and found that they are free again
        assert "takes no more queries" not in log.text
        assert "Too many open files" in getattr(worker.ask("use_files leak"), "traceback", "")
        wait_for(lambda: "takes no more queries: it has too many open files" in log.text, sleep=gevent.sleep)
        assert worker.ask("subprocess") == "subprocess worked"
    finally:
        worker.executor.close()


def test_a_handler_of_the_application_that_raises_harms_no_query(sync: Worker, capsys: pytest.CaptureFixture[str]):
    """Some of those that send lines to log servers do (keeprocking/pygelf #52, fluent/fluent-logger-python #172)."""

    class RaisingHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ConnectionRefusedError(111, "the log server is down")

    handler = RaisingHandler()
    logging.getLogger("my.bot").addHandler(handler)
    try:
        assert sync.ask_many("warn", 3) == ["warn worked"] * 3
    finally:
        logging.getLogger("my.bot").removeHandler(handler)
    assert "the log server is down" in capsys.readouterr().err


def test_a_frozen_clock_stops_no_other_query(async_: Worker):
    """Tests and simulations freeze the clock (spulec/freezegun #383, #437)."""
    frozen = async_.start("freeze_the_clock 0.5")[1]
    assert async_.ask_many("sleep 0.1", 4) == ["sleep worked"] * 4
    assert frozen.released.get(timeout=20) == Returned("freeze_the_clock worked")


@pytest.mark.parametrize("end", ["3", "return", "raise"])
def test_a_forked_child_that_leaves_the_function_ends(sync: Worker, async_: Worker, end: str):
    """With the exit code that a script would have, and without a result of its own."""
    assert sync.ask(f"fork {end}") == "fork worked"
    assert async_.ask(f"async_fork {end}") == "async_fork worked"


def test_gevent_patches_nothing_in_a_worker(sync: Worker):
    """A module may patch the server that it also creates; at its import, or later."""
    assert sync.ask("patch_with_gevent") == "patch_with_gevent worked"
    patching = Worker("ask", module="tests.executors.worker.patching_backend")
    assert patching.ask_many("Hi", 8) == ["not patched"] * 8
    patching.executor.close()


@pytest.mark.parametrize(
    "name",
    [
        "log_in_to_thread",  # gevent #1744
        "subprocess",  # gevent #867
        "own_executor",  # gevent #2026
        "threads",  # asgiref #443
        "getaddrinfo",
    ],
)
def test_an_async_function_finds_its_threads_and_processes(async_: Worker, name: str):
    """Fifty times, eight at once."""
    for _ in range(7):
        assert async_.ask_many(name, 8) == [f"{name} worked"] * 8


@pytest.mark.parametrize("name", ["exit_in_a_task", "interrupt_in_a_task", "stop_the_loop", "raise_in_a_callback"])
def test_the_event_loop_survives_code_that_ends_it(async_: Worker, log: pytest.LogCaptureFixture, name: str):
    """Queries beside it go on, and later ones start (Python's issue 93122 has such code)."""
    _, beside = async_.start("sleep 1")
    gevent.sleep(0.2)  # until it sleeps
    async_.ask(name)
    assert beside.released.get(timeout=10) == Returned("sleep worked")
    assert async_.ask("sleep 0") == "sleep worked"
    assert "event loop; it continues" in log.text


def test_a_task_that_ends_the_loop_fails_its_query(async_: Worker):
    """With the traceback for the log."""
    error = async_.ask("exit_in_a_task")
    assert isinstance(error, WorkerError)
    assert str(error) == "process_query raised SystemExit"
    assert "in leave" in error.traceback


def test_an_event_loop_that_does_not_turn_is_named_and_replaced(log: pytest.LogCaptureFixture):
    """With the stack of the code that blocks it; later queries run in another process."""
    worker = Worker("ask_async")
    assert worker.ask("sleep 0") == "sleep worked"
    task, blocking = worker.start("block 60")
    wait_for(lambda: worker.executor.problems(), 10.0, sleep=gevent.sleep)
    assert re.search(
        r"its event loop has been blocked for 3 s by block\(\) at /.*/native_backends\.py:\d+: await",
        worker.executor.problems()[0],
    )
    assert "time.sleep(seconds)" in log.text
    assert "_run_once" not in log.text, "the frames of the runtime say nothing to the author of the function"
    assert worker.ask("sleep 0") == "sleep worked"
    task.cancel()
    assert blocking.released.get(timeout=20) is None
    wait_for(lambda: not worker.executor.problems(), 5.0, sleep=gevent.sleep)
    worker.executor.close()


def test_code_that_holds_the_interpreter_lock_delays_only_its_own_process(log: pytest.LogCaptureFixture):
    """A process without a sign of life takes no more queries, and those that it has not begun move to another one."""
    worker = Worker("ask")
    worker.executor.warm_up()
    (process,) = worker.executor._all
    task, spinning = worker.start("hold_the_lock 60")
    wait_for(lambda: process.is_ready and process.seconds_since_message > 2, sleep=gevent.sleep)
    _, late = worker.start("own_threads")
    wait_for(lambda: worker.executor.problems(), 15.0, sleep=gevent.sleep)
    assert late.released.get(timeout=20) == Returned("own_threads worked")
    assert "it has not responded for 5 s" in worker.executor.problems()[0]
    began = time.monotonic()
    assert worker.ask("own_threads") == "own_threads worked"
    assert time.monotonic() - began < 3
    task.cancel()
    assert spinning.released.get(timeout=20) is None
    worker.executor.close()


def test_a_query_that_a_frozen_process_gives_back_runs_once(tmp_path: Path):
    """It has the query, and does not begin with it when it goes on."""
    worker = Worker("ask")
    worker.executor.warm_up()
    (frozen,) = worker.executor._all
    worker.start("spin 60")
    wait_for(lambda: any(query.has_begun for query in frozen._queries.values()), sleep=gevent.sleep)
    os.kill(frozen.pid, signal.SIGSTOP)
    _, moved = worker.start(f"append_line {tmp_path / 'lines'}")
    wait_for(lambda: frozen.query_count == 2, sleep=gevent.sleep)
    frozen.retire("stopped")
    frozen.give_back()
    assert moved.released.get(timeout=20) == Returned("append_line worked")
    os.kill(frozen.pid, signal.SIGCONT)
    another = Query(username="ada", message=f"append_line {tmp_path / 'lines'}")
    number = frozen.submit(importable(worker.path).spec.name, another, RecordingCallbacks())
    with pytest.raises(NotStarted):
        frozen.wait(number)
    assert (tmp_path / "lines").read_text() == "begun\n"
    worker.executor.close()


def test_threads_with_code_that_does_not_stop_are_replaced(log: pytest.LogCaptureFixture):
    """Their slots are free again, and the log has the stack of the code."""
    worker = Worker("ask", threads=2)
    worker.ask("own_threads")  # a query of a worker that starts has no code to stop
    tasks = [worker.start("spin 600") for _ in range(2)]
    gevent.sleep(0.3)  # until they compute
    for task, _ in tasks:
        task.cancel()
    for _, callbacks in tasks:
        assert callbacks.released.get(timeout=1) is None
    assert worker.ask("own_threads") == "own_threads worked"
    wait_for(lambda: "takes no more queries" in log.text, sleep=gevent.sleep)
    assert "does not stop" in log.text
    assert "in spin" in log.text
    assert worker.ask("own_threads") == "own_threads worked"
    worker.executor.close()


def test_a_process_that_ends_fails_all_of_its_queries(log: pytest.LogCaptureFixture):
    """And the next query starts another one."""
    worker = Worker("ask")
    beside = [worker.start("spin 20")[1] for _ in range(3)]
    gevent.sleep(1)  # until they run
    assert "while it ran 4 queries: exit code 7" in str(worker.ask("exit 7"))
    for callbacks in beside:
        assert isinstance(callbacks.released.get(timeout=10), Raised)
    assert worker.ask("own_threads") == "own_threads worked"
    worker.executor.close()


def test_code_that_closes_all_files_fails_only_its_query():
    """At once, since the process has no way to the server any more (circus-tent/circus #441, benoitc/gunicorn #123)."""
    worker = Worker("ask")
    for first in (0, 3):
        assert "exit code 1" in str(worker.ask(f"close_files {first}"))
        assert worker.ask("own_threads") == "own_threads worked"
    worker.executor.close()


def test_an_interruption_of_the_main_thread_ends_no_query(sync: Worker):
    """Libraries interrupt "the main thread" of a script (wandb/wandb PR 7231)."""
    assert sync.ask_many("interrupt_main", 3) == ["interrupt_main worked"] * 3
    assert sync.ask("own_threads") == "own_threads worked"


def test_a_query_that_has_not_begun_is_given_to_another_process():
    """Its process is terminated before it reads the query."""
    worker = Worker("ask")
    assert worker.ask("own_threads") == "own_threads worked"
    assert worker.executor._current is not None
    pid = worker.executor._current.pid
    os.kill(pid, signal.SIGSTOP)
    _, callbacks = worker.start("own_threads")
    gevent.sleep(0)  # it is sent
    os.kill(pid, signal.SIGKILL)
    assert callbacks.released.get(timeout=20) == Returned("own_threads worked")
    worker.executor.close()


def test_generators_stop_between_two_pieces_when_they_are_cancelled():
    """Also one that has ended its run by sending too much."""
    for name in ("generate", "generate_async"):
        worker = Worker(name, threads=1)
        task, callbacks = worker.start("for ever")
        wait_for(lambda callbacks=callbacks: callbacks.of("text"), 10.0, sleep=gevent.sleep)
        task.cancel()
        assert callbacks.released.get(timeout=5) is None
        assert worker.ask("twice") == ""
        worker.executor.close()

"""Tests of the process pool with harmful code: every query gets its result, and no process is left behind."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import MappingProxyType

import gevent
import pytest

from persona_stream import Answer, BackendUnavailable, Query, ToolCall, Usage
from persona_stream.backends.base import Backend
from persona_stream.backends.factory import build_backends
from persona_stream.core.result import AnswerTooLarge, Returned, WorkerError
from persona_stream.executors.base import Task
from persona_stream.executors.worker.pool import ProcessPool, WorkerExecutor, WorkerSource, pool_sizes
from persona_stream.personas.persona import bundled_personas
from persona_stream.settings.schema import Settings
from tests.executors.contract import ExecutorContract
from tests.executors.recording import RecordingCallbacks, importable, submit
from tests.polling import wait_for
from tests.server_process import ROOT

ASK = "tests.executors.worker.sample_backends:ask"
ASK_ASYNC = "tests.executors.worker.sample_backends:ask_async"


def source(backend: str) -> WorkerSource:
    """Return the source of workers with one backend."""
    return WorkerSource(partial(build_backends, Settings(backend=backend), None), max_answer_bytes=100_000)


class Pool:
    """Process pool with one backend.

    Attributes:
        callbacks: those of the latest query.
    """

    def __init__(
        self, backend: str = ASK, *, capacity: int = 2, ready: int = 0, max_tasks: int = 100, idle_timeout: float = 60
    ) -> None:
        self.executor = ProcessPool(
            source(backend),
            capacity=capacity,
            ready=ready,
            max_tasks_per_process=max_tasks,
            idle_timeout=idle_timeout,
        )
        self.backend = importable(backend)
        self.callbacks = RecordingCallbacks()

    def start(self, message: str, **fields: object) -> tuple[Task, RecordingCallbacks]:
        """Submit a query."""
        return submit(self.executor, self.backend, Query(username="ada", message=message, **fields))

    def ask(self, message: str, **fields: object) -> object:
        """Submit a query, and return its value or its exception."""
        _, self.callbacks = self.start(message, **fields)
        result = self.callbacks.released.get(timeout=60)
        return result.value if isinstance(result, Returned) else result.error

    @property
    def texts(self) -> list[str]:
        """The parts that the latest query sent."""
        return self.callbacks.of("text")


@pytest.fixture(scope="module")
def shared() -> Iterator[Pool]:
    """A pool for tests that end no process."""
    pool = Pool()
    yield pool
    pool.executor.close()


@pytest.fixture
def pool(shared: Pool) -> Pool:
    return shared


class TestProcesses(ExecutorContract):
    @pytest.fixture
    def executor(self, shared: Pool) -> ProcessPool:
        return shared.executor

    @pytest.fixture
    def backend(self, shared: Pool) -> Backend:
        return shared.backend


@pytest.fixture(scope="module")
def threads() -> Iterator[WorkerExecutor]:
    """A worker with threads, for tests that do not end it."""
    executor = WorkerExecutor(source(ASK), 20)
    yield executor
    executor.close()


@pytest.fixture(scope="module")
def event_loop() -> Iterator[WorkerExecutor]:
    """A worker with an event loop."""
    executor = WorkerExecutor(source(ASK_ASYNC), 20)
    yield executor
    executor.close()


class TestThreads(ExecutorContract):
    @pytest.fixture
    def executor(self, threads: WorkerExecutor) -> WorkerExecutor:
        return threads

    @pytest.fixture
    def backend(self) -> Backend:
        return importable(ASK)


class TestEventLoop(ExecutorContract):
    @pytest.fixture
    def executor(self, event_loop: WorkerExecutor) -> WorkerExecutor:
        return event_loop

    @pytest.fixture
    def backend(self) -> Backend:
        return importable(ASK_ASYNC)


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_file(path: Path) -> int:
    """Wait until a process id is written to a file, and return it."""
    wait_for(lambda: path.exists() and path.read_text(), sleep=gevent.sleep)
    return int(path.read_text())


def test_a_query_runs_in_another_process(pool: Pool):
    """With all its fields, and in the same process as the query before."""
    assert pool.ask("echo hi", parameters=MappingProxyType({"top_k": 3})) == "hi ada {'top_k': 3}"
    assert int(str(pool.ask("pid"))) not in (os.getpid(), None)
    assert pool.ask("pid") == pool.ask("pid")


def test_notifications_arrive_in_order(pool: Pool):
    """Before the answer, in few batches; a surrogate pair in two parts is joined."""
    assert pool.ask("tell") == Answer("end.")
    assert "".join(pool.texts) == "One half \ud83d\ude00 "
    assert "".join(pool.callbacks.of("reasoning")) == "Hm."
    assert pool.callbacks.of("progress") == [("Reading", 0.5)]
    assert [call.request for call in pool.callbacks.of("upstream")] == [{"a": [1, 2]}]


def test_a_chatty_query_sends_at_most_twenty_batches_a_second(pool: Pool):
    """So it cannot keep the server busy."""
    began = time.monotonic()
    assert pool.ask("flood 5000") == "end"
    texts = pool.texts
    assert "".join(texts) == "".join(f"{number} " for number in range(5000))
    assert len(texts) <= 3 + 20 * (time.monotonic() - began)


def test_notifications_of_an_ended_query_are_dropped(pool: Pool):
    """The next query in that process belongs to another run."""
    assert pool.ask("outlive") == "over"
    assert pool.ask("flood 1") == "end"
    gevent.sleep(0.5)  # longer than that thread waits
    assert pool.texts == ["0 "]


def test_an_answer_arrives_with_all_fields(pool: Pool):
    """Subclasses become plain; ``raw`` arrives as JSON would represent it."""
    answer = pool.ask("whole")
    assert answer == Answer(
        "text",
        reasoning="why",
        usage=Usage(input_tokens=1, output_tokens=2),
        finish="tools",
        calls=(ToolCall("1", "look", "{}"),),
    )
    assert isinstance(answer, Answer)
    assert type(answer) is Answer
    assert answer.raw == {"of": "'ours'", "object": "<class 'object'>"}


def test_an_answer_with_invalid_nested_values_fails_in_the_worker(pool: Pool):
    """The schema is checked on both sides."""
    error = pool.ask("nested")
    assert isinstance(error, WorkerError)
    assert str(error).startswith("the token counts of an Answer must be whole numbers")


def test_a_wrong_notification_ends_no_process(pool: Pool):
    """It is refused where it is made."""
    pid = pool.ask("pid")
    assert pool.ask("tell_wrong") == "refused"
    assert pool.ask("pid") == pid


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("lambda", f"{ASK} returned function: return a string or an Answer"),
        ("none", f"{ASK} returned NoneType: return a string or an Answer"),
        ("answer", "the text of an Answer must be a str, and was a lock"),
    ],
)
def test_invalid_return_values_fail_in_the_worker(pool: Pool, kind: str, text: str):
    """The log names the type."""
    assert str(pool.ask(f"foreign {kind}")) == text


def test_an_answer_over_the_limit_is_discarded(pool: Pool):
    """Of one that is sent in parts comes as much as the run needs to see that it is too large."""
    assert len(str(pool.ask("large 100000"))) == 100_000
    assert isinstance(pool.ask("large 200000"), AnswerTooLarge)
    assert pool.ask("send_large 3000000") == ""
    assert sum(map(len, pool.texts)) == 100_001
    assert pool.ask("echo on") == "on ada {}"


def test_exceptions_are_passed_to_the_server(pool: Pool):
    """``BackendError`` as it is, others with their traceback for the log, without the worker's own frames."""
    assert isinstance(pool.ask("fail unavailable"), BackendUnavailable)
    assert str(pool.ask("fail deliberate")) == "The library is closed."
    error = pool.ask("fail mistake")
    assert str(error) == "process_query raised ValueError"
    assert error.traceback.startswith("Traceback (most recent call last):\n")
    assert error.traceback.endswith("ValueError: a secret detail")
    assert "main.py" not in error.traceback
    assert str(pool.ask("fail exit")).startswith("process_query raised SystemExit")
    assert str(pool.ask("fail circle")).startswith("process_query raised RecursionError")


def test_log_lines_of_a_worker_are_in_the_log_of_the_server(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    """With their level, also those of threads; printed text is on stderr."""
    pool = Pool()
    logger = logging.getLogger("persona_stream")
    logger.addHandler(caplog.handler)
    try:
        assert pool.ask("log") == "logged"
    finally:
        logger.removeHandler(caplog.handler)
    lines = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    assert ("my.bot", "WARNING", "a line of mine") in lines
    assert ("my.bot", "ERROR", "from a thread") in lines
    pool.executor.close()
    assert "printed" in capfd.readouterr().err


@pytest.mark.parametrize(("message", "fate"), [("crash", "killed by SIGSEGV"), ("leave 3", "exit code 3")])
def test_a_process_that_crashes_fails_only_its_query(message: str, fate: str):
    """With the reason; the next query gets another process, and concurrent ones continue."""
    pool = Pool()
    beside = gevent.spawn(pool.ask, "flood 20000")
    gevent.sleep(0)  # so that it begins first
    assert str(pool.ask(message)) == f"worker process ended while it ran a query: {fate}"
    assert pool.ask("echo on") == "on ada {}"
    assert beside.get(timeout=30) == "end"
    pool.executor.close()


def test_a_process_that_runs_out_of_memory_is_replaced():
    """It would keep its memory limit."""
    pool = Pool()
    before = pool.ask("pid")
    assert str(pool.ask("hoard")).startswith("process_query raised MemoryError")
    assert pool.ask("pid") not in (before, "")
    pool.executor.close()


def test_a_process_that_terminates_itself_gets_no_other_query():
    """The next one may be sent while the process ends."""
    pool = Pool("tests.executors.worker.native_backends:ask", capacity=1)
    for _ in range(3):
        assert "SystemExit" in str(pool.ask("terminate_itself"))
        assert pool.ask("own_threads") == "own_threads worked"
    pool.executor.close()


def test_a_process_is_replaced_after_max_tasks_per_process():
    """So leaked memory is returned; the old process exits by itself."""
    pool = Pool(max_tasks=2)
    pids = [int(str(pool.ask("pid"))) for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]
    wait_for(lambda: not is_alive(pids[0]), 5.0, sleep=gevent.sleep)
    pool.executor.close()


@pytest.mark.parametrize("message", ["spin", "deaf"])
def test_code_that_does_not_stop_is_killed(message: str, tmp_path: Path):
    """Within about a second; then the task is released without a result."""
    pool = Pool(capacity=1)
    pid = int(str(pool.ask("pid")))
    task, callbacks = pool.start(f"{message} {tmp_path / 'pid'}")
    gevent.sleep(0.3)  # until it is at it
    began = time.monotonic()
    assert task.cancel()
    assert callbacks.released.get(timeout=10) is None
    assert time.monotonic() - began < 3.0
    assert not is_alive(pid)
    assert pool.ask("echo on") == "on ada {}"
    pool.executor.close()


def test_cooperative_code_keeps_its_process():
    """Slow imports are not repeated."""
    pool = Pool(capacity=1)
    pid = pool.ask("pid")
    task, callbacks = pool.start("cooperate")
    gevent.sleep(0.2)  # until it sleeps
    task.cancel()
    assert callbacks.released.get(timeout=10) is None
    assert pool.ask("pid") == pid
    pool.executor.close()


def test_finally_blocks_run_when_a_query_is_cancelled(tmp_path: Path):
    """As in a greenlet."""
    pool = Pool(capacity=1)
    task, callbacks = pool.start(f"clean {tmp_path / 'file'}")
    wait_for(lambda: any(each.is_ready for each in pool.executor._all), sleep=gevent.sleep)
    gevent.sleep(0.3)  # until it waits
    task.cancel()
    callbacks.released.get(timeout=10)
    assert (tmp_path / "file").read_text() == "cleaned"
    pool.executor.close()


def test_child_processes_end_with_their_worker(tmp_path: Path):
    """Also when the worker is killed."""
    pool = Pool(capacity=1)
    task, callbacks = pool.start(f"parent {tmp_path / 'pid'}")
    child = wait_for_file(tmp_path / "pid")
    assert is_alive(child)
    task.cancel()
    callbacks.released.get(timeout=10)
    wait_for(lambda: not is_alive(child), 5.0, sleep=gevent.sleep)
    pool.executor.close()


def test_a_process_killed_from_outside_is_logged_and_replaced(caplog: pytest.LogCaptureFixture):
    """As by the kernel's out-of-memory killer."""
    pool = Pool(ready=1)
    pid = int(str(pool.ask("pid")))
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: "ended while idle: killed by SIGKILL" in caplog.text, sleep=gevent.sleep)
    assert pool.ask("pid") != str(pid)
    pool.executor.close()


def test_processes_are_kept_ready_and_closing_ends_them():
    """A query takes an idle process rather than start one."""
    pool = Pool(capacity=3, ready=2)
    pool.executor.warm_up()
    wait_for(lambda: sum(each.is_ready for each in pool.executor._all) == 2, sleep=gevent.sleep)
    pids = [each.pid for each in pool.executor._all]
    assert int(str(pool.ask("pid"))) in pids
    pool.executor.close()
    assert not any(map(is_alive, pids))


def test_a_backend_that_cannot_be_created_in_a_worker_fails_its_queries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """With the reason, and without starting processes again and again."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "only_here.py").write_text(f"import os\nassert os.getpid() == {os.getpid()}\ndef ask(message): ...\n")
    pool = Pool("only_here:ask", ready=2)
    text = str(pool.ask("Hi"))
    assert text.startswith("worker process failed to start (the module only_here could not be imported")
    wait_for(lambda: not pool.executor._all, sleep=gevent.sleep)


def test_few_processes_start_at_once():
    """Starting takes CPU time, which must not stall the streams."""
    pool = Pool(capacity=4, ready=1)
    asked = [gevent.spawn(pool.ask, "nap 0.1") for _ in range(4)]
    most = 0
    while not all(each.ready() for each in asked):
        most = max(most, sum(each.is_starting for each in pool.executor._all))
        gevent.sleep(0.01)  # between two looks
    assert most == 1
    assert [each.value for each in asked] == ["slept"] * 4
    pool.executor.close()


def test_generators_send_their_parts():
    """As in the other executors."""
    pool = Pool("tests.executors.worker.sample_backends:count")
    assert pool.ask("one two") == ""
    assert "".join(pool.texts) == "onetwo"
    pool.executor.close()


def test_bundled_backends_can_run_in_a_process():
    """The demo, with its personas."""
    create = partial(build_backends, Settings(demo_seconds=0.0), bundled_personas())
    executor = ProcessPool(WorkerSource(create, max_answer_bytes=100_000), capacity=1, ready=0)
    query = Query(username="AdaLovelace", message="Hi", locale="en")
    _, callbacks = submit(executor, importable("demo"), query)
    result = callbacks.released.get(timeout=20)
    assert isinstance(result, Returned)
    assert isinstance(result.value, str | Answer)
    executor.close()


def test_processes_end_when_their_server_is_killed(tmp_path: Path):
    """Without a message from the server; also a process that computes."""
    (tmp_path / "server.py").write_text(
        "import gevent\n"
        "from tests.executors.worker.test_pool import Pool\n"
        "pool = Pool(capacity=3, ready=3)\n"
        "pool.executor.warm_up()\n"
        "print(pool.ask('pid'), flush=True)\n"
        "gevent.spawn(pool.ask, 'spin')\n"
        "gevent.sleep(1)  # until it computes\n"
        "print(*(each.pid for each in pool.executor._all), flush=True)\n"
        "gevent.sleep(60)  # until it is killed\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, tmp_path / "server.py"], stdout=subprocess.PIPE, text=True, env=environ
    ) as server:
        server.stdout.readline()
        pids = [int(pid) for pid in server.stdout.readline().split()]
        assert len(pids) == 3
        assert all(map(is_alive, pids))
        server.kill()
    wait_for(lambda: not any(map(is_alive, pids)), 5.0)


def test_the_default_size_depends_on_the_machine():
    """A number in the settings is taken as it is."""
    most, ready = pool_sizes(None)
    assert most >= 8
    assert 1 <= ready <= most
    assert pool_sizes(1) == (1, 1)
    assert pool_sizes(300) == (300, ready)


def test_idle_processes_are_stopped_after_a_peak():
    """Down to the number that is kept ready."""
    pool = Pool(capacity=3, ready=1, idle_timeout=0.3)
    asked = [gevent.spawn(pool.ask, "nap 4") for _ in range(3)]
    wait_for(lambda: sum(each.is_ready for each in pool.executor._all) == 3, sleep=gevent.sleep)
    pids = [each.pid for each in pool.executor._all]
    gevent.joinall(asked)
    wait_for(lambda: sum(map(is_alive, pids)) == 1, sleep=gevent.sleep)
    assert int(str(pool.ask("pid"))) in pids
    pool.executor.close()

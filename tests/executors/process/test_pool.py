"""Processes that do the worst that code can do: whoever asked is told, and nothing stays behind."""

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
from persona_stream.executors.process.pool import ProcessPool, pool_sizes
from persona_stream.personas.persona import bundled_personas
from persona_stream.settings.schema import Settings
from tests.executors.contract import ExecutorContract
from tests.executors.recording import RecordingCallbacks, importable, submit
from tests.polling import wait_for
from tests.server_process import ROOT

ASK = "tests.executors.process.sample_backends:ask"


class Pool:
    """Process pool with one backend.

    Attributes:
        callbacks: those of the latest query.
    """

    def __init__(
        self, backend: str = ASK, *, capacity: int = 2, ready: int = 0, max_tasks: int = 100, idle_timeout: float = 60
    ) -> None:
        self.executor = ProcessPool(
            partial(build_backends, Settings(backend=backend), None),
            capacity=capacity,
            ready=ready,
            max_answer_bytes=100_000,
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


class TestContract(ExecutorContract):
    @pytest.fixture
    def executor(self, shared: Pool) -> ProcessPool:
        return shared.executor

    @pytest.fixture
    def backend(self, shared: Pool) -> Backend:
        return shared.backend


def is_alive(pid: int) -> bool:
    """Tell whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_file(path: Path) -> int:
    """Wait until somebody has written the number of a process."""
    wait_for(lambda: path.exists() and path.read_text(), sleep=gevent.sleep)
    return int(path.read_text())


def test_a_query_goes_there_and_an_answer_comes_back(pool: Pool):
    """With all that belongs to a query: also what cannot be written to."""
    assert pool.ask("echo hi", parameters=MappingProxyType({"top_k": 3})) == "hi ada {'top_k': 3}"
    assert int(str(pool.ask("pid"))) not in (os.getpid(), None)
    assert pool.ask("pid") == pool.ask("pid")


def test_everything_that_is_told_comes_in_order(pool: Pool):
    """Before the answer; in batches, as few as may be; a pair of surrogates stays whole."""
    assert pool.ask("tell") == Answer("end.")
    assert "".join(pool.texts) == "One half \ud83d\ude00 "
    assert "".join(pool.callbacks.of("reasoning")) == "Hm."
    assert pool.callbacks.of("progress") == [("Reading", 0.5)]
    assert [call.request for call in pool.callbacks.of("upstream")] == [{"a": [1, 2]}]


def test_who_talks_fast_is_heard_twenty_times_a_second(pool: Pool):
    """Whatever it says, the server is not kept busy by it."""
    began = time.monotonic()
    assert pool.ask("flood 5000") == "end"
    texts = pool.texts
    assert "".join(texts) == "".join(f"{number} " for number in range(5000))
    assert len(texts) <= 3 + 20 * (time.monotonic() - began)


def test_a_thread_that_lives_on_tells_nobody(pool: Pool):
    """The next query in that process is another's."""
    assert pool.ask("outlive") == "over"
    assert pool.ask("flood 1") == "end"
    gevent.sleep(0.5)  # longer than that thread waits
    assert pool.texts == ["0 "]


def test_an_answer_comes_whole(pool: Pool):
    """What is a kind of ours is ours; what JSON cannot say of the rest is said as the request log would."""
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
    assert str(error).startswith("process_query returned an Answer that cannot be sent: Expected `int`, got `str`")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("lambda", "process_query must return a string or an Answer, and returned function"),
        ("none", "process_query must return a string or an Answer, and returned NoneType"),
        ("answer", "the text of an Answer must be a str, and was a lock"),
    ],
)
def test_what_is_no_answer_stays_there(pool: Pool, what: str, said: str):
    """Nothing of a stranger's is built here; the log says what it was."""
    assert str(pool.ask(f"foreign {what}")) == said


def test_an_answer_over_the_limit_is_not_sent(pool: Pool):
    """And one that is sent in parts is not read."""
    assert len(str(pool.ask("large 100000"))) == 100_000
    assert isinstance(pool.ask("large 200000"), AnswerTooLarge)
    assert isinstance(pool.ask("send_large 3000000"), AnswerTooLarge)
    assert pool.ask("echo on") == "on ada {}"


def test_what_is_raised_there_is_raised_here(pool: Pool):
    """What the client reads as it is, and what the log shows with its lines, and without ours."""
    assert isinstance(pool.ask("fail unavailable"), BackendUnavailable)
    assert str(pool.ask("fail deliberate")) == "The library is closed."
    said = str(pool.ask("fail mistake"))
    assert said.startswith("process_query raised ValueError\nTraceback (most recent call last):\n")
    assert said.endswith("ValueError: a secret detail")
    assert "worker.py" not in said
    assert str(pool.ask("fail exit")).startswith("process_query raised SystemExit")
    assert str(pool.ask("fail circle")).startswith("process_query raised RecursionError")


def test_what_it_logs_is_in_our_log(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]):
    """With its level, also from a thread; what it prints is on stderr."""
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
def test_a_process_that_dies_fails_its_query_alone(message: str, fate: str):
    """The log says how; another one is there for the next query, and others do not notice."""
    pool = Pool()
    beside = gevent.spawn(pool.ask, "flood 20000")
    gevent.sleep(0)  # so that it begins first
    assert str(pool.ask(message)) == f"worker process ended while it ran a query: {fate}"
    assert pool.ask("echo on") == "on ada {}"
    assert beside.get(timeout=30) == "end"
    pool.executor.close()


def test_a_process_without_memory_is_replaced():
    """The limit that it ran into stays with it."""
    pool = Pool()
    before = pool.ask("pid")
    assert str(pool.ask("hoard")).startswith("process_query raised MemoryError")
    assert pool.ask("pid") not in (before, "")
    pool.executor.close()


def test_a_process_is_replaced_after_so_many_queries():
    """So what leaks is given back; the one that is worn leaves by itself."""
    pool = Pool(max_tasks=2)
    pids = [int(str(pool.ask("pid"))) for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]
    wait_for(lambda: not is_alive(pids[0]), 5.0, sleep=gevent.sleep)
    pool.executor.close()


@pytest.mark.parametrize("message", ["spin", "deaf"])
def test_what_computes_for_ever_is_killed(message: str, tmp_path: Path):
    """Within a second: its place is free then, and it has no outcome."""
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


def test_code_that_cooperates_keeps_its_process():
    """What took long to load is not loaded again."""
    pool = Pool(capacity=1)
    pid = pool.ask("pid")
    task, callbacks = pool.start("cooperate")
    gevent.sleep(0.2)  # until it sleeps
    task.cancel()
    assert callbacks.released.get(timeout=10) is None
    assert pool.ask("pid") == pid
    pool.executor.close()


def test_who_is_killed_may_clean_up(tmp_path: Path):
    """``finally`` is done, as in a greenlet."""
    pool = Pool(capacity=1)
    task, callbacks = pool.start(f"clean {tmp_path / 'file'}")
    wait_for(lambda: any(each.is_ready for each in pool.executor._all), sleep=gevent.sleep)
    gevent.sleep(0.3)  # until it waits
    task.cancel()
    callbacks.released.get(timeout=10)
    assert (tmp_path / "file").read_text() == "cleaned"
    pool.executor.close()


def test_what_a_process_has_started_ends_with_it(tmp_path: Path):
    """Also when it is killed."""
    pool = Pool(capacity=1)
    task, callbacks = pool.start(f"parent {tmp_path / 'pid'}")
    child = wait_for_file(tmp_path / "pid")
    assert is_alive(child)
    task.cancel()
    callbacks.released.get(timeout=10)
    wait_for(lambda: not is_alive(child), 5.0, sleep=gevent.sleep)
    pool.executor.close()


def test_a_process_killed_from_outside_is_said_and_replaced(caplog: pytest.LogCaptureFixture):
    """As the kernel does when memory runs out."""
    pool = Pool(ready=1)
    pid = int(str(pool.ask("pid")))
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: "ended while idle: killed by SIGKILL" in caplog.text, sleep=gevent.sleep)
    assert pool.ask("pid") != str(pid)
    pool.executor.close()


def test_so_many_are_ready_and_closing_ends_them_all():
    """No query waits for a process to start, as long as one is idle."""
    pool = Pool(capacity=3, ready=2)
    pool.executor.warm_up()
    wait_for(lambda: sum(each.is_ready for each in pool.executor._all) == 2, sleep=gevent.sleep)
    pids = [each.pid for each in pool.executor._all]
    assert int(str(pool.ask("pid"))) in pids
    pool.executor.close()
    assert not any(map(is_alive, pids))


def test_a_backend_that_cannot_be_made_there_fails_its_queries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """And says why; nobody tries to start processes again and again."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "only_here.py").write_text(f"import os\nassert os.getpid() == {os.getpid()}\ndef ask(message): ...\n")
    pool = Pool("only_here:ask", ready=2)
    said = str(pool.ask("Hi"))
    assert said.startswith("worker process failed to start (the module only_here could not be imported")
    wait_for(lambda: not pool.executor._all, sleep=gevent.sleep)


def test_few_begin_at_once():
    """Each computes when it does, and a rush must not stop what streams."""
    pool = Pool(capacity=4, ready=1)
    asked = [gevent.spawn(pool.ask, "nap 0.1") for _ in range(4)]
    most = 0
    while not all(each.ready() for each in asked):
        most = max(most, sum(each.is_starting for each in pool.executor._all))
        gevent.sleep(0.01)  # between two looks
    assert most == 1
    assert [each.value for each in asked] == ["slept"] * 4
    pool.executor.close()


def test_generators_tell_as_they_do_elsewhere():
    """Each text as it comes."""
    pool = Pool("tests.executors.process.sample_backends:count")
    assert pool.ask("one two") == ""
    assert "".join(pool.texts) == "onetwo"
    pool.executor.close()


def test_bundled_backends_can_run_in_a_process():
    """The demo, with its personas."""
    create = partial(build_backends, Settings(demo_seconds=0.0), bundled_personas())
    executor = ProcessPool(create, capacity=1, ready=0, max_answer_bytes=100_000)
    query = Query(username="AdaLovelace", message="Hi", locale="en")
    _, callbacks = submit(executor, importable("demo"), query)
    result = callbacks.released.get(timeout=20)
    assert isinstance(result, Returned)
    assert isinstance(result.value, str | Answer)
    executor.close()


def test_processes_end_when_their_server_is_killed(tmp_path: Path):
    """Without a chance to say so; also one that computes."""
    (tmp_path / "server.py").write_text(
        "import gevent\n"
        "from tests.executors.process.test_pool import Pool\n"
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


def test_who_says_nothing_gets_as_many_as_the_machine_can_use():
    """And who says a number gets that."""
    most, ready = pool_sizes(None)
    assert most >= 8
    assert 1 <= ready <= most
    assert pool_sizes(1) == (1, 1)
    assert pool_sizes(300) == (300, ready)


def test_those_that_a_rush_has_left_are_let_go():
    """Down to those that are kept ready."""
    pool = Pool(capacity=3, ready=1, idle_timeout=0.3)
    asked = [gevent.spawn(pool.ask, "nap 4") for _ in range(3)]
    wait_for(lambda: sum(each.is_ready for each in pool.executor._all) == 3, sleep=gevent.sleep)
    pids = [each.pid for each in pool.executor._all]
    gevent.joinall(asked)
    wait_for(lambda: sum(map(is_alive, pids)) == 1, sleep=gevent.sleep)
    assert int(str(pool.ask("pid"))) in pids
    pool.executor.close()

"""A toy executor, added from outside of the package: one class and one registration.

It runs each query in a Python process of its own, to which it sends values only: the backend's specification and the
query. The process writes its notifications and its result as lines of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator

import gevent
import pytest
from gevent import subprocess

from persona_stream.backends.callables import from_import_path
from persona_stream.core.clock import monotonic_wall_clock
from persona_stream.core.facts import Accepted, AnswerDelta, Answered, Failed, Started
from persona_stream.core.query import Query
from persona_stream.core.result import Raised, Returned, TaskResult, WorkerError
from persona_stream.executors.base import Executor, Task, TaskCallbacks
from persona_stream.executors.registry import EXECUTORS, build_execution, register_executor
from persona_stream.executors.worker.protocol import RunQuery, decode, encode
from persona_stream.journals.base import Journal
from persona_stream.journals.memory import MemoryJournalStore
from persona_stream.runs.base import RunRequest
from persona_stream.runs.manager import RunManager, wait_until_finished
from persona_stream.runs.queue import RunQueue, Scheduler
from persona_stream.runs.run import RunLimits
from persona_stream.settings.schema import Settings
from persona_stream.settings.types import EXECUTOR_NAMES
from tests.fakes import query_with
from tests.polling import wait_for
from tests.server_process import ROOT

PID = "tests.test_extending_executor:answer_with_pid"


def answer_with_pid(query: Query) -> str:
    """Answer with the id of the process, after a text; wait for longer than a test if asked to."""
    query.send("Running in ")
    if query.message == "wait":
        gevent.sleep(60)
    return str(os.getpid())


class SubprocessTask:
    """Handle of one process."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.process = process
        self.is_cancelled = False

    def cancel(self) -> bool:
        self.is_cancelled = True
        self.process.kill()
        return True


class SubprocessExecutor(Executor):
    """Executor that starts a Python process for each query."""

    def accepts(self, backend) -> bool:
        return backend.spec is not None and backend.spec.import_path is not None

    def submit(self, backend, query: Query, callbacks: TaskCallbacks) -> Task:
        callbacks.on_started()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.test_extending_executor"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        task = SubprocessTask(process)
        gevent.spawn(self._follow, task, encode(RunQuery(1, backend.spec.import_path, "", {}, query)), callbacks)
        return task

    def _follow(self, task: SubprocessTask, payload: bytes, callbacks: TaskCallbacks) -> None:
        result: TaskResult | None = None
        with task.process as process:
            process.stdin.write(payload)
            process.stdin.close()
            for line in process.stdout:
                kind, text = json.loads(line)
                if kind == "text":
                    callbacks.on_text(text)
                else:
                    result = Returned(text)
        if not task.is_cancelled:
            callbacks.on_result(result or Raised(WorkerError(f"exit code {process.returncode}")))
        callbacks.on_released()


def run_in_subprocess() -> None:
    """Run the query of standard input."""
    message = decode(sys.stdin.buffer.read())
    assert isinstance(message, RunQuery)

    def write(kind: str, text: object) -> None:
        print(json.dumps([kind, text]), flush=True)

    query = query_with(message.query, on_text=lambda text: write("text", text))
    write("result", from_import_path(message.backend).process_query(query))


if __name__ == "__main__":
    run_in_subprocess()


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    register_executor("subprocess", lambda settings, personas: SubprocessExecutor())
    yield
    del EXECUTORS["subprocess"]
    EXECUTOR_NAMES.remove("subprocess")


def start(message: str, process_query: Callable[..., object] | None = None) -> tuple[RunManager, Journal]:
    """Start a run of the toy executor, with the backend of the settings or a function of this process."""
    router, executors = build_execution(Settings(executor="subprocess", backend=PID), None, process_query)
    clock = monotonic_wall_clock()
    manager = RunManager(
        executor_for=executors.for_backend,
        journals=MemoryJournalStore(clock, 60.0, 1000),
        queue=RunQueue(Scheduler(1, 1), 60.0),
        limits=RunLimits(30.0, 60.0, 1000),
        clock=clock,
    )
    query = Query(username="ada", message=message)
    return manager, manager.start(RunRequest(query, router.find("ada").backend, "smart", "words"))


def test_a_registered_executor_runs_the_queries():
    """Its process sends parts of the answer, and then the rest."""
    _, journal = start("Hi")
    wait_until_finished(journal, 20.0)
    facts = [entry.fact for entry in journal.entries]
    assert [type(fact) for fact in facts] == [Accepted, Started, AnswerDelta, Answered]
    assert facts[2].text == "Running in "
    assert int(facts[3].text) != os.getpid()


def test_cancelling_the_run_stops_the_task():
    """The slot is released when the process is gone."""
    manager, journal = start("wait")
    wait_for(lambda: len(journal.entries) > 2, sleep=gevent.sleep)
    manager.cancel(journal)
    assert journal.entries[-1].fact == Failed("cancelled")
    run_id = journal.entries[0].fact.run_id
    wait_for(lambda: run_id not in manager._with_task, 5.0, sleep=gevent.sleep)


def test_a_backend_that_the_executor_does_not_accept_runs_in_this_process():
    """A closure has no import path."""
    _, journal = start("Hi", lambda message: f"{message} from {os.getpid()}")
    wait_until_finished(journal, 20.0)
    assert journal.entries[-1].fact == Answered(f"Hi from {os.getpid()}")

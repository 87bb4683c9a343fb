"""Starting runs: a place is given back on every path."""

from __future__ import annotations

import threading

import gevent
import pytest

from persona_stream.backends.callables import from_callable
from persona_stream.core.clock import monotonic_wall_clock
from persona_stream.core.query import Query
from persona_stream.errors import Unavailable
from persona_stream.executors.base import Executor
from persona_stream.executors.greenlet import GreenletExecutor
from persona_stream.executors.thread import ThreadExecutor
from persona_stream.journals.memory import MemoryJournalStore
from persona_stream.logging import trace_headers
from persona_stream.runs.manager import RunManager
from persona_stream.runs.observer import RunObserver, RunStarted
from persona_stream.runs.queue import RunQueue, Scheduler
from persona_stream.runs.request import RunRequest
from persona_stream.runs.run import RunLimits
from tests.fakes import FakeClock
from tests.polling import wait_for


class Broken:
    """Journals that cannot begin one."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def create(self, accepted: object, claim: object) -> None:
        raise self._error


class RecordingObserver(RunObserver):
    """Hear of runs; and when one begins, set something for its work."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def on_fact(self, entries: object) -> None:
        fact = entries[-1].fact
        self.heard.append(type(fact).__name__)

    def on_notification(self, run_id: str, note: object) -> None:
        self.heard.append(type(note).__name__)
        if isinstance(note, RunStarted):
            trace_headers.set({"traceparent": run_id})


def running(executor: Executor, observer: RecordingObserver) -> RunManager:
    """Give runs that really run."""
    clock = monotonic_wall_clock()
    return RunManager(
        executor_for=lambda backend: executor,
        journals=MemoryJournalStore(clock, 60.0, 1000),
        queue=RunQueue(Scheduler(1, 1), 60.0, clock),
        limits=RunLimits(0.2, 60.0, 1000),
        clock=clock,
        observers=[observer],
    )


@pytest.mark.parametrize("executor", [GreenletExecutor(), ThreadExecutor(1)])
def test_what_an_observer_sets_goes_with_the_work_and_no_further(executor: Executor):
    """A trace is carried to where the run asks others, and not into the connection's next request."""
    observer = RecordingObserver()
    runs = running(executor, observer)
    journal = runs.start(
        RunRequest(
            Query(username="x", message="Hi"),
            from_callable(lambda message: str(dict(trace_headers.get()))),
            "smart",
            "words",
        )
    )
    wait_for(lambda: "TaskReleased" in observer.heard, sleep=gevent.sleep)
    run_id = journal.entries[0].fact.run_id
    assert journal.entries[-1].fact.text == str({"traceparent": run_id})
    assert dict(trace_headers.get()) == {}
    assert observer.heard == ["RunStarted", "Accepted", "Started", "Answered", "TaskReleased"]


def test_a_thread_that_goes_on_is_told_of_until_it_returns():
    """Its run has ended by then."""
    observer, gate = RecordingObserver(), threading.Event()
    runs = running(ThreadExecutor(1), observer)
    runs.start(
        RunRequest(Query(username="x", message="Hi"), from_callable(lambda message: str(gate.wait())), "smart", "words")
    )
    wait_for(lambda: "TaskOrphaned" in observer.heard, sleep=gevent.sleep)
    assert observer.heard == ["RunStarted", "Accepted", "Started", "Failed", "TaskOrphaned"]
    gate.set()
    wait_for(lambda: "TaskReleased" in observer.heard, sleep=gevent.sleep)
    assert observer.heard[5:] == ["TaskReleased"]


@pytest.mark.parametrize("error", [Unavailable("away"), ValueError("a defect"), SystemExit()])
def test_a_run_that_could_not_begin_holds_no_place(error: BaseException):
    """Whatever stopped it: a refusal, a defect, or the end of the process."""
    admission = Scheduler(1, 1)
    runs = RunManager(
        executor_for=lambda backend: GreenletExecutor(),
        journals=Broken(error),
        queue=RunQueue(admission, 1.0, FakeClock(0.0)),
        limits=RunLimits(10.0, 10.0, 1000),
        clock=FakeClock(1_790_000_000.0),
    )
    with pytest.raises(type(error)):
        runs.start(
            RunRequest(Query(username="x", message="Hi"), from_callable(lambda message: message), "smart", "words")
        )
    assert admission.slots_in_use == 0

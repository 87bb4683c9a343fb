"""Starting runs: a place is given back on every path."""

from __future__ import annotations

import threading

import gevent
import pytest

from persona_stream.backends.callables import adapt
from persona_stream.core.clock import wall_clock
from persona_stream.core.query import Query
from persona_stream.errors import Unavailable
from persona_stream.executors.base import Executor
from persona_stream.executors.greenlet import GreenletExecutor
from persona_stream.executors.thread import ThreadExecutor
from persona_stream.journals.memory import MemoryJournals
from persona_stream.logging import carried
from persona_stream.runs.manager import Bounds, Runs
from persona_stream.runs.observer import Began
from persona_stream.runs.queue import Admission, Lobby
from persona_stream.runs.request import Order
from tests.fakes import FakeClock
from tests.waiting import wait_for


class Broken:
    """Journals that cannot begin one."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def begin(self, accepted: object, claim: object) -> None:
        raise self._error


class Hearing:
    """Hear of runs; and when one begins, set something for its work."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def observe(self, entries: object) -> None:
        fact = entries[-1].fact
        self.heard.append(type(fact).__name__)

    def note(self, run_id: str, note: object) -> None:
        self.heard.append(type(note).__name__)
        if isinstance(note, Began):
            carried.set({"traceparent": run_id})


def running(executor: Executor, observer: Hearing) -> Runs:
    """Give runs that really run."""
    clock = wall_clock()
    return Runs(
        executor=lambda backend: executor,
        journals=MemoryJournals(clock, 60.0, 1000),
        lobby=Lobby(Admission(1, 1), 60.0, clock),
        bounds=Bounds(0.2, 60.0, 1000),
        clock=clock,
        observers=[observer],
    )


@pytest.mark.parametrize("executor", [GreenletExecutor(), ThreadExecutor(1)])
def test_what_an_observer_sets_goes_with_the_work_and_no_further(executor: Executor):
    """A trace is carried to where the run asks others, and not into the connection's next request."""
    observer = Hearing()
    runs = running(executor, observer)
    journal = runs.start(Order(Query(username="x", message="Hi"), adapt(lambda message: str(dict(carried.get()))),
                               "smart", "words"))  # fmt: skip
    wait_for(lambda: "Released" in observer.heard, sleep=gevent.sleep)
    run_id = journal.entries[0].fact.run_id
    assert journal.entries[-1].fact.text == str({"traceparent": run_id})
    assert dict(carried.get()) == {}
    assert observer.heard == ["Began", "Accepted", "Started", "Answered", "Released"]


def test_a_thread_that_goes_on_is_told_of_until_it_returns():
    """Its run has ended by then."""
    observer, gate = Hearing(), threading.Event()
    runs = running(ThreadExecutor(1), observer)
    runs.start(Order(Query(username="x", message="Hi"), adapt(lambda message: str(gate.wait())), "smart", "words"))
    wait_for(lambda: "Abandoned" in observer.heard, sleep=gevent.sleep)
    assert observer.heard == ["Began", "Accepted", "Started", "Failed", "Abandoned"]
    gate.set()
    wait_for(lambda: "Released" in observer.heard, sleep=gevent.sleep)
    assert observer.heard[5:] == ["Released"]


@pytest.mark.parametrize("error", [Unavailable("away"), ValueError("a defect"), SystemExit()])
def test_a_run_that_could_not_begin_holds_no_place(error: BaseException):
    """Whatever stopped it: a refusal, a defect, or the end of the process."""
    admission = Admission(1, 1)
    runs = Runs(
        executor=lambda backend: GreenletExecutor(),
        journals=Broken(error),
        lobby=Lobby(admission, 1.0, FakeClock(0.0)),
        bounds=Bounds(10.0, 10.0, 1000),
        clock=FakeClock(1_790_000_000.0),
    )
    with pytest.raises(type(error)):
        runs.start(Order(Query(username="x", message="Hi"), adapt(lambda message: message), "smart", "words"))
    assert admission.taken == 0

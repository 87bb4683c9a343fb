"""Tests of the run manager: notifications, contexts, and slots that are released on every path."""

from __future__ import annotations

import gevent
import gevent.event
import pytest

from persona_stream.backends.callables import from_callable
from persona_stream.core.clock import monotonic_wall_clock
from persona_stream.core.facts import Accepted, Answered, Failed
from persona_stream.core.query import Query
from persona_stream.errors import Unavailable
from persona_stream.executors.base import Executor
from persona_stream.executors.greenlet import GreenletExecutor
from persona_stream.journals.answers import MemoryAnswerStore
from persona_stream.journals.memory import MemoryJournalStore
from persona_stream.logging import trace_headers
from persona_stream.runs.base import RunObserver, RunRequest, RunStarted
from persona_stream.runs.cache import AnswerCache
from persona_stream.runs.manager import RunManager
from persona_stream.runs.queue import RunQueue, Scheduler
from persona_stream.runs.run import RunLimits
from tests.fakes import FakeClock
from tests.polling import wait_for


class BrokenStore:
    """Journal store that fails to create journals."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def create(self, accepted: object, claim: object) -> None:
        raise self._error


class RecordingObserver(RunObserver):
    """Observer that records facts and notifications, and sets a context variable for each run."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def on_fact(self, entries: object) -> None:
        fact = entries[-1].fact
        self.events.append(type(fact).__name__)

    def on_notification(self, run_id: str, note: object) -> None:
        self.events.append(type(note).__name__)
        if isinstance(note, RunStarted):
            trace_headers.set({"traceparent": run_id})


def create_manager(executor: Executor, observer: RecordingObserver) -> RunManager:
    """Return a manager with one slot."""
    clock = monotonic_wall_clock()
    return RunManager(
        executor_for=lambda backend: executor,
        journals=MemoryJournalStore(clock, 60.0, 1000),
        queue=RunQueue(Scheduler(1, 1), 60.0),
        limits=RunLimits(0.2, 60.0, 1000),
        clock=clock,
        observers=[observer],
    )


class UnstoppableExecutor(GreenletExecutor):
    """Executor that cannot stop its tasks."""

    def submit(self, backend, query, callbacks):
        task = super().submit(backend, query, callbacks)
        return type("UnstoppableTask", (), {"task": task, "cancel": lambda self: False})()


class RaisingObserver(RunObserver):
    """Observer that fails."""

    def on_fact(self, entries: object) -> None:
        raise ConnectionRefusedError("the log server is down")

    def on_notification(self, run_id: str, note: object) -> None:
        raise ConnectionRefusedError("the log server is down")


def test_an_observer_that_raises_harms_no_run(caplog: pytest.LogCaptureFixture):
    """It is named in the log, with its traceback."""
    manager = create_manager(GreenletExecutor(), RaisingObserver())
    request = RunRequest(Query(username="ada", message="hi"), from_callable(lambda message: message), "smart", "words")
    journal = manager.start(request)
    wait_for(lambda: journal.entries[-1].fact == Answered("hi"), sleep=gevent.sleep)
    wait_for(lambda: not manager._with_task, sleep=gevent.sleep)
    assert "an observer of runs failed" in caplog.text
    assert "the log server is down" in caplog.text


def test_requests_are_kept_if_one_of_the_observers_reads_them():
    class Reader(RecordingObserver):
        reads_requests = True

    assert not create_manager(GreenletExecutor(), RecordingObserver()).reads_requests
    assert create_manager(GreenletExecutor(), Reader()).reads_requests


def test_context_variables_of_observers_reach_the_query_only():
    """A trace continues in the query, and not in the connection's next request."""
    observer = RecordingObserver()
    manager = create_manager(GreenletExecutor(), observer)
    journal = manager.start(
        RunRequest(
            Query(username="x", message="Hi"),
            from_callable(lambda message: str(dict(trace_headers.get()))),
            "smart",
            "words",
        )
    )
    wait_for(lambda: "TaskReleased" in observer.events, sleep=gevent.sleep)
    run_id = journal.entries[0].fact.run_id
    assert journal.entries[-1].fact.text == str({"traceparent": run_id})
    assert dict(trace_headers.get()) == {}
    assert observer.events == ["RunStarted", "Accepted", "Started", "Answered", "TaskReleased"]


def test_an_orphaned_task_is_reported_until_it_returns():
    """Its run has ended before."""
    observer, gate = RecordingObserver(), gevent.event.Event()
    manager = create_manager(UnstoppableExecutor(), observer)
    journal = manager.start(
        RunRequest(Query(username="x", message="Hi"), from_callable(lambda message: str(gate.wait())), "smart", "words")
    )
    wait_for(lambda: "Failed" in observer.events, sleep=gevent.sleep)
    run_id = journal.entries[0].fact.run_id
    wait_for(lambda: manager.has_orphaned_task(run_id), sleep=gevent.sleep)
    assert observer.events == ["RunStarted", "Accepted", "Started", "Failed"]
    gate.set()
    wait_for(lambda: "TaskReleased" in observer.events, sleep=gevent.sleep)
    assert observer.events[4:] == ["TaskReleased"]
    assert not manager.has_orphaned_task(run_id)


@pytest.mark.parametrize("error", [Unavailable("away"), ValueError("a defect"), SystemExit()])
def test_a_run_whose_journal_cannot_be_created_releases_its_slot(error: BaseException):
    """Whether the store is unavailable, has a bug, or the process exits."""
    scheduler = Scheduler(1, 1)
    manager = RunManager(
        executor_for=lambda backend: GreenletExecutor(),
        journals=BrokenStore(error),
        queue=RunQueue(scheduler, 1.0),
        limits=RunLimits(10.0, 10.0, 1000),
        clock=FakeClock(1_790_000_000.0),
    )
    with pytest.raises(type(error)):
        manager.start(
            RunRequest(Query(username="x", message="Hi"), from_callable(lambda message: message), "smart", "words")
        )
    assert scheduler.slots_in_use == 0


def test_a_run_whose_history_is_unavailable_fails_and_releases_its_slot():
    """Its query never starts."""

    def load_history(query: Query) -> Query:
        raise Unavailable("away")

    clock = monotonic_wall_clock()
    scheduler = Scheduler(1, 1)
    manager = RunManager(
        executor_for=lambda backend: GreenletExecutor(),
        journals=MemoryJournalStore(clock, 60.0, 1000),
        queue=RunQueue(scheduler, 60.0),
        limits=RunLimits(0.2, 60.0, 1000),
        clock=clock,
        load_history=load_history,
    )
    backend = from_callable(lambda message: message)
    query = Query(username="x", message="Hi")
    journal = manager.start(RunRequest(query, backend, "smart", "words", continues_conversation=True))
    wait_for(lambda: scheduler.slots_in_use == 0, sleep=gevent.sleep)
    assert [type(entry.fact) for entry in journal.entries] == [Accepted, Failed]


def test_a_run_whose_executor_fails_ends_and_releases_its_slot():
    """The error is raised to the caller, too."""

    class BrokenExecutor(Executor):
        def submit(self, backend: object, query: Query, callbacks: object) -> None:
            raise OSError("no more threads")

    clock = monotonic_wall_clock()
    scheduler = Scheduler(1, 1)
    journals = MemoryJournalStore(clock, 60.0, 1000)
    manager = RunManager(
        executor_for=lambda backend: BrokenExecutor(),
        journals=journals,
        queue=RunQueue(scheduler, 60.0),
        limits=RunLimits(0.2, 60.0, 1000),
        clock=clock,
    )
    query = Query(username="x", message="Hi")
    with pytest.raises(OSError, match="no more threads"):
        manager.start(RunRequest(query, from_callable(lambda message: message), "smart", "words"))
    (journal,) = journals.list_for_owner(query.principal.subject, None, 9)
    assert journal.entries[-1].fact == Failed("internal")
    assert (scheduler.slots_in_use, manager.active_count) == (0, 0)


def test_a_run_that_ends_while_its_question_is_claimed_is_not_answered():
    """The claim waits for the store; meanwhile the run has no task that could be cancelled."""
    gate = gevent.event.Event()

    class SlowAnswers(MemoryAnswerStore):
        def claim(self, key: str, run_id: str, seconds: float) -> str | None:
            gate.wait()
            return super().claim(key, run_id, seconds)

    clock = monotonic_wall_clock()
    scheduler = Scheduler(1, 1)
    journals = MemoryJournalStore(clock, 60.0, 1000)
    manager = RunManager(
        executor_for=lambda backend: GreenletExecutor(),
        journals=journals,
        queue=RunQueue(scheduler, 60.0),
        limits=RunLimits(60.0, 60.0, 1000),
        clock=clock,
        cache=AnswerCache(SlowAnswers(clock), 60.0, is_shared=False),
    )
    query = Query(username="x", message="Hi")
    backend = from_callable(lambda message: gevent.sleep(60) or message)
    starting = gevent.spawn(manager.start, RunRequest(query, backend, "smart", "words"))
    wait_for(lambda: manager.active_count == 1, sleep=gevent.sleep)
    (journal,) = journals.list_for_owner(query.principal.subject, None, 9)
    manager.cancel(journal)
    gate.set()
    starting.join()
    wait_for(lambda: scheduler.slots_in_use == 0, sleep=gevent.sleep)
    assert [type(entry.fact) for entry in journal.entries] == [Accepted, Failed]

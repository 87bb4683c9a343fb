"""Contract of executors for Celery workers; needs a process that is patched by gevent."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest
from kombu.exceptions import OperationalError
from msgspec.structs import replace

from persona_stream.backends.base import Backend
from persona_stream.core import facts
from persona_stream.core.clock import monotonic_wall_clock
from persona_stream.core.content import ProviderFields
from persona_stream.core.query import Query
from persona_stream.core.result import Raised, Returned, WorkerError
from persona_stream.core.run_id import new_run_id
from persona_stream.errors import BackendError, Unavailable
from persona_stream.executors.base import Task
from persona_stream.executors.celery import executor as executor_module
from persona_stream.executors.celery.executor import CeleryExecutor
from persona_stream.journals.base import Journal
from persona_stream.journals.redis.store import RedisJournalStore
from persona_stream.logging import current_run_id
from persona_stream.settings import Settings
from tests.celery_worker import CeleryWorker
from tests.executors.contract import ExecutorContract
from tests.executors.recording import RecordingCallbacks, importable
from tests.fakes import accepted
from tests.redis_server import RedisServer

ASK = "tests.executors.worker.sample_backends:ask"
CLOCK = monotonic_wall_clock()


class JournalCallbacks(RecordingCallbacks):
    """Callbacks that record the facts that a worker appends as if the executor had reported them."""

    def __init__(self, journal) -> None:
        super().__init__()
        self.journal = journal
        self._seen = 1  # after Accepted
        journal.subscribe(self._on_facts)

    def started_fact(self) -> facts.Started:
        return facts.Started(7)

    def _on_facts(self) -> None:
        for entry in self.journal.entries[self._seen :]:
            match entry.fact:
                case facts.Started(history_tokens=7):
                    self.on_started()
                case facts.ProgressReported(message=message, fraction=fraction):
                    self.on_progress(message, fraction)
                case facts.AnswerDelta(text=text):
                    self.on_text(text.replace("\N{GRINNING FACE}", "\ud83d\ude00"))
                case facts.ReasoningDelta(text=text):
                    self.on_reasoning(text)
                case facts.ProviderDelta(dialect=protocol, fields=(fields,)):
                    self.on_extras(ProviderFields(protocol, fields))
                case facts.InputRequested(request=request):
                    self.on_ask(request)
                case facts.Answered(text=text):
                    super().on_result(Returned(text))
                case facts.Failed(code="backend_error", text=text):
                    super().on_result(Raised(BackendError(text)))
                case facts.Failed(code="internal"):
                    super().on_result(Raised(RuntimeError()))
        self._seen = len(self.journal.entries)

    def on_result(self, result: object) -> None:
        """Ignore the executor's result: the journal has the end."""


class CancellingTask:
    """Task of a run that is cancelled as ``ActiveRun`` does: the end is written first."""

    def __init__(self, task: Task, callbacks: JournalCallbacks) -> None:
        self._task = task
        self._callbacks = callbacks

    def answer(self, input_id: str, value: str | None) -> None:
        self._task.answer(input_id, value)

    def cancel(self) -> bool:
        self._callbacks.journal.append(facts.Failed("cancelled"))
        return self._task.cancel()


@pytest.fixture(scope="session")
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture(scope="session", params=["prefork", "gevent"])
def worker(request: pytest.FixtureRequest, server: RedisServer) -> Iterator[CeleryWorker]:
    worker = CeleryWorker(ASK, server.url, 4, f"--pool={request.param}", "--lease=3")
    worker.wait_until_ready()
    yield worker
    assert worker.stop() == 0


@pytest.fixture(scope="session")
def store(server: RedisServer) -> Iterator[RedisJournalStore]:
    store = RedisJournalStore(server.url, CLOCK, lease=3.0, retention=60.0, retention_bytes=10_000_000)
    yield store
    store.close()


class TestCelery(ExecutorContract):
    @pytest.fixture
    def executor(self, worker: CeleryWorker, server: RedisServer, store: RedisJournalStore) -> Iterator[CeleryExecutor]:
        settings = Settings(redis_url=server.url, executor="celery", timeout=30.0, queue_timeout=20.0)
        executor = CeleryExecutor(settings, store)
        with gevent.Timeout(20):
            while not executor.workers():
                executor._refresh()
                gevent.sleep(0.05)
        yield executor
        executor.close()

    @pytest.fixture
    def backend(self) -> Backend:
        return importable(ASK)

    def submit(self, executor: CeleryExecutor, backend: Backend, message: str):
        terms = replace(accepted(locale="en", deadline=30.0), run_id=new_run_id(CLOCK()), resume_for=60.0)
        journal, _ = executor._store.create(terms, None)
        callbacks = JournalCallbacks(journal)
        current_run_id.set(terms.run_id)
        task = executor.submit(backend, Query(username="ada", message=message, _can_ask=True), callbacks)
        return CancellingTask(task, callbacks), callbacks

    def answer(self, task: CancellingTask, callbacks: JournalCallbacks, input_id: str, value: str | None) -> None:
        """Append the answer as any process does; the timeout is the worker's."""
        if value is not None:
            callbacks.journal.append(facts.InputClosed(input_id, value))

    def test_an_answer_longer_than_a_message_arrives(self, executor: CeleryExecutor, backend: Backend):
        """The worker reads it from the journal."""
        task, callbacks = self.submit(executor, backend, "inquire 60")
        self.wait_for_question(callbacks)
        self.answer(task, callbacks, callbacks.of("ask")[0].input_id, "x" * 32_768)
        assert callbacks.released.get(timeout=20) == Returned("You said " + "x" * 32_768)

    def test_workers_announce_themselves(self, executor: CeleryExecutor):
        """With their slots and backends, which bound the admission and tell the capabilities."""
        workers = executor.workers()
        assert sum(worker.slots for worker in workers) == 4 == executor.capacity
        assert {worker.pool for worker in workers} < {"prefork", "gevent"}
        assert executor.describe("default").capabilities == frozenset()
        assert executor.describe("other") is None
        assert all(worker.running == 0 for worker in workers)

    def test_a_message_that_is_delivered_twice_starts_nothing(self, executor: CeleryExecutor, backend: Backend):
        """Redis delivers a message again that was not acknowledged in time (celery #5935)."""
        _, callbacks = self.submit(executor, backend, "echo hi")
        assert callbacks.released.get(timeout=20) == Returned("hi ada {}")
        sent: list[tuple] = []
        executor._celery.send_task = lambda *args, **options: sent.append((args, options))
        _, callbacks = self.submit(executor, backend, "nap 0.5")
        gevent.sleep(0.1)
        [(args, options)] = sent
        del executor._celery.send_task
        for number in range(3):
            executor._celery.send_task(*args, **{**options, "task_id": f"{options['task_id']}-{number}"})
        assert callbacks.released.get(timeout=20) == Returned("slept")
        gevent.sleep(0.5)
        assert callbacks.names == ["started", "result", "released"]

    def test_a_run_that_was_cancelled_before_does_not_start(self, executor: CeleryExecutor, backend: Backend):
        """The worker looks at the journal first; a revoke alone is lost for a worker that restarts."""
        sent: list[tuple] = []
        executor._celery.send_task = lambda *args, **options: sent.append((args, options))
        task, callbacks = self.submit(executor, backend, "echo hi")
        gevent.sleep(0.1)
        task.cancel()
        assert callbacks.released.get(timeout=20) is None
        del executor._celery.send_task
        [(args, options)] = sent
        executor._celery.send_task(*args, **options)
        gevent.sleep(1)  # longer than a worker takes to start a query
        assert callbacks.names == ["released"]

    def test_a_query_that_starts_in_an_outage_waits_for_its_end(
        self, executor: CeleryExecutor, backend: Backend, monkeypatch: pytest.MonkeyPatch
    ):
        """Of Redis, whose reply to the hand-over is lost, and of the broker."""
        hand_over, send = executor._store.hand_over, executor._celery.send_task
        failures = [Unavailable("down"), OperationalError("down"), OSError("down")]

        def lose_reply(*args: object) -> Journal:
            journal = hand_over(*args)
            if isinstance(failures[0], Unavailable):
                raise failures.pop(0)
            return journal

        def send_later(*args: object, **options: object) -> None:
            if failures:
                raise failures.pop(0)
            send(*args, **options)

        monkeypatch.setattr(executor._store, "hand_over", lose_reply)
        monkeypatch.setattr(executor._celery, "send_task", send_later)
        _, callbacks = self.submit(executor, backend, "echo hi")
        assert callbacks.released.get(timeout=20) == Returned("hi ada {}")
        assert not failures

    def test_a_query_fails_when_the_broker_stays_away(
        self, executor: CeleryExecutor, backend: Backend, monkeypatch: pytest.MonkeyPatch
    ):
        """Its run ends with the reason."""

        def fail(*args: object, **options: object) -> None:
            raise OperationalError("connection refused")

        monkeypatch.setattr(executor_module, "OUTAGE_TIMEOUT", 0.3)
        monkeypatch.setattr(executor._celery, "send_task", fail)
        _, callbacks = self.submit(executor, backend, "echo hi")
        results: list[object] = []
        monkeypatch.setattr(callbacks, "on_result", results.append)
        callbacks.released.get(timeout=20)
        [result] = results
        assert isinstance(result, Raised)
        assert isinstance(result.error, WorkerError)
        assert "the broker is unavailable: connection refused" in str(result.error)

    def test_a_computation_stops_when_it_is_cancelled(
        self, executor: CeleryExecutor, backend: Backend, worker: CeleryWorker
    ):
        """Within three seconds, in prefork: its process is killed, and another one takes the next query."""
        if "prefork" not in {each.pool for each in executor.workers()}:
            pytest.skip("a greenlet that computes cannot be stopped")
        task, callbacks = self.submit(executor, backend, "spin")
        with gevent.Timeout(20):
            while "started" not in callbacks.names:
                gevent.sleep(0.05)
        before = set(worker.children())
        task.cancel()
        with gevent.Timeout(3):
            while before <= set(worker.children()):
                gevent.sleep(0.05)
        _, callbacks = self.submit(executor, backend, "echo hi")
        assert callbacks.released.get(timeout=20) == Returned("hi ada {}")

    @pytest.mark.parametrize("payload", ["", "{}", "[]", '{"run_id":1}', "\x80\x04K\x01."])
    def test_an_invalid_message_is_refused(self, executor: CeleryExecutor, worker: CeleryWorker, payload: str):
        """It is checked against a schema; the worker goes on."""
        before = worker.log.count("invalid message")
        executor._celery.send_task("persona_stream.run", args=[payload])
        with gevent.Timeout(10):
            while worker.log.count("invalid message") == before:
                gevent.sleep(0.05)

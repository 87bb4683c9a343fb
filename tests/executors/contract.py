"""Contract of executors: the tests that every kind passes, given a backend that does what its message says."""

from __future__ import annotations

import gevent
import pytest

from persona_stream.backends.base import Backend
from persona_stream.core.content import ProviderFields
from persona_stream.core.query import Query
from persona_stream.core.result import Raised, Returned
from persona_stream.errors import BackendError
from persona_stream.executors.base import Executor, Task
from tests.executors.recording import RecordingCallbacks, submit


class ExecutorContract:
    """Tests of one executor. Subclasses provide the fixtures ``executor`` and ``backend``.

    The backend is a function of ``sample_backends``, in the form that the executor runs.
    """

    def submit(self, executor: Executor, backend: Backend, message: str) -> tuple[Task, RecordingCallbacks]:
        return submit(executor, backend, Query(username="ada", message=message, _can_ask=True))

    def test_a_result_comes_between_start_and_release(self, executor: Executor, backend: Backend):
        """Each of them once."""
        _, callbacks = self.submit(executor, backend, "echo hi")
        assert callbacks.released.get(timeout=20) == Returned("hi ada {}")
        gevent.sleep(0.01)
        assert callbacks.names == ["started", "result", "released"]

    @pytest.mark.parametrize("name", ["deliberate", "mistake", "exit", "circle", "unprintable", "odd", "bool"])
    def test_an_exception_is_the_result(self, executor: Executor, backend: Backend, name: str):
        """SystemExit too, which would end a process."""
        _, callbacks = self.submit(executor, backend, f"fail {name}")
        result = callbacks.released.get(timeout=20)
        assert isinstance(result, Raised)
        assert isinstance(result.error, BackendError) == (name in {"deliberate", "unprintable", "odd", "bool"})
        assert callbacks.names == ["started", "result", "released"]

    def test_an_answer_whose_raw_form_cannot_be_represented(self, executor: Executor, backend: Backend):
        """The text counts."""
        _, callbacks = self.submit(executor, backend, "odd_raw")
        result = callbacks.released.get(timeout=20)
        assert isinstance(result, Returned)
        assert getattr(result.value, "text", result.value) == "text"

    def test_everything_that_is_sent_comes_in_order_and_before_the_result(self, executor: Executor, backend: Backend):
        """A process sends in batches: parts may be joined."""
        _, callbacks = self.submit(executor, backend, "tell")
        assert isinstance(callbacks.released.get(timeout=20), Returned)
        assert "".join(map(str, callbacks.of("text"))) == "One half \ud83d\ude00 "
        assert "".join(map(str, callbacks.of("reasoning"))) == "Hm."
        assert ("Reading", 0.5) in callbacks.of("progress")
        assert len(callbacks.of("upstream")) == 1
        assert callbacks.of("extras") == [ProviderFields("openai", {"audio": {"id": "a"}})]
        assert callbacks.names[0] == "started"
        assert callbacks.names[-2:] == ["result", "released"]

    def test_native_threads_of_a_query_may_send(self, executor: Executor, backend: Backend):
        """The callbacks are called in the thread of the event loop all the same."""
        _, callbacks = self.submit(executor, backend, "thread")
        callbacks.released.get(timeout=20)
        assert "".join(map(str, callbacks.of("text"))) == "from a thread"

    @pytest.mark.parametrize("value", ["b", None])
    def test_the_answer_to_a_question_is_its_value(self, executor: Executor, backend: Backend, value: str | None):
        """Or ``None``, at the timeout; the text before the question comes first."""
        task, callbacks = self.submit(executor, backend, "inquire 60" if value else "inquire 0.05")
        self.wait_for_question(callbacks)
        [request] = callbacks.of("ask")
        assert (request.question, request.choices) == ("Which file?", ("a", "b"))
        assert callbacks.names == ["started", "text", "ask"]
        self.answer(task, callbacks, request.input_id, value)
        assert callbacks.released.get(timeout=20) == Returned(f"You said {value}")

    def test_code_that_waits_for_an_answer_stops_when_it_is_cancelled(self, executor: Executor, backend: Backend):
        """An answer that comes later has no effect."""
        task, callbacks = self.submit(executor, backend, "inquire 60")
        self.wait_for_question(callbacks)
        assert task.cancel()
        task.answer(callbacks.of("ask")[0].input_id, "b")
        assert callbacks.released.get(timeout=20) is None

    def wait_for_question(self, callbacks: RecordingCallbacks) -> None:
        with gevent.Timeout(20):
            while not callbacks.of("ask"):
                gevent.sleep(0.01)

    def answer(self, task: Task, callbacks: RecordingCallbacks, input_id: str, value: str | None) -> None:
        """Answer a question as the run does."""
        task.answer(input_id, value)

    def test_cooperative_code_stops_when_it_is_cancelled(self, executor: Executor, backend: Backend):
        """The task is released without a result."""
        task, callbacks = self.submit(executor, backend, "cooperate")
        gevent.sleep(0.3)  # until the query waits
        assert task.cancel()
        assert callbacks.released.get(timeout=20) is None

    def test_a_task_is_released_when_it_is_cancelled_at_once(self, executor: Executor, backend: Backend):
        """Even if its code has not begun."""
        task, callbacks = self.submit(executor, backend, "cooperate")
        task.cancel()
        callbacks.released.get(timeout=20)
        gevent.sleep(0.01)
        assert callbacks.names.count("released") == 1

    def test_many_queries_run_at_once(self, executor: Executor, backend: Backend):
        """As many as the executor has capacity for."""
        count = min(executor.capacity or 20, 20)
        all_callbacks = [self.submit(executor, backend, "nap 0.2")[1] for _ in range(count)]
        assert [each.released.get(timeout=20) for each in all_callbacks] == [Returned("slept")] * count

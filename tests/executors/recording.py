"""Callbacks that record the events of a task, for the tests of executors."""

from __future__ import annotations

from gevent.event import AsyncResult

from persona_stream.backends.base import Backend, BackendSpec
from persona_stream.core.content import ProviderFields
from persona_stream.core.query import InputRequest, Query, UpstreamCall
from persona_stream.core.result import TaskResult
from persona_stream.executors.base import Executor, Task


class RecordingCallbacks:
    """Callbacks that record every call, in order.

    Attributes:
        events: the names of the events, each with its value.
        released: the result, or ``None`` without one; set when the task is released.
    """

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []
        self.result: TaskResult | None = None
        self.released: AsyncResult[TaskResult | None] = AsyncResult()

    def on_started(self) -> None:
        self.events.append(("started", None))

    def on_progress(self, message: str, fraction: float | None) -> None:
        self.events.append(("progress", (message, fraction)))

    def on_text(self, text: str, *, is_coalesced: bool = False) -> None:
        self.events.append(("text", text))

    def on_reasoning(self, text: str, *, is_coalesced: bool = False) -> None:
        self.events.append(("reasoning", text))

    def on_extras(self, extras: ProviderFields) -> None:
        self.events.append(("extras", extras))

    def on_upstream_call(self, call: UpstreamCall) -> None:
        self.events.append(("upstream", call))

    def on_ask(self, request: InputRequest) -> None:
        self.events.append(("ask", request))

    def on_result(self, result: TaskResult) -> None:
        self.events.append(("result", result))
        self.result = result

    def on_released(self) -> None:
        self.events.append(("released", None))
        self.released.set(self.result)

    def of(self, name: str) -> list[object]:
        """Return the values of the events of this name."""
        return [value for event, value in self.events if event == name]

    @property
    def names(self) -> list[str]:
        """The names of the events."""
        return [event for event, _ in self.events]


def submit(executor: Executor, backend: Backend, query: Query | None = None) -> tuple[Task, RecordingCallbacks]:
    """Submit a query; return its task and its callbacks."""
    callbacks = RecordingCallbacks()
    return executor.submit(backend, query or Query(username="ada", message="Hi"), callbacks), callbacks


def importable(name: str) -> Backend:
    """Return a backend that only other processes import: the default one of the settings."""
    return Backend(name, lambda query: None, spec=BackendSpec("default", name))

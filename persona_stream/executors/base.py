"""Contract of executors. Imports no gevent, since worker processes import the package."""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from persona_stream.backends.base import Backend, BackendDescription, WorkerDescription
from persona_stream.core.content import ProviderFields
from persona_stream.core.facts import Started
from persona_stream.core.query import InputRequest, Query, UpstreamCall
from persona_stream.core.result import TaskResult


class TaskCallbacks(Protocol):
    """Receiver of the events of one task. All methods are called in the thread of the event loop.

    Invariants:
        ``on_started`` comes first.
        ``on_result`` comes at most once, in a greenlet that may block, and not at all after a successful cancel.
        ``on_released`` comes exactly once, last, on every path.
    """

    def started_fact(self) -> Started | None:
        """Return the fact of the start, for an executor that appends the facts to the journal itself.

        Such an executor calls ``on_result`` only for a query that could not be started, and ``on_released``.
        """

    def on_started(self) -> None:
        """Handle the start of the query; its deadline counts from here."""

    def on_progress(self, message: str, fraction: float | None) -> None:
        """Handle a progress report. Must not block."""

    def on_text(self, text: str, *, is_coalesced: bool = False) -> None:
        """Handle the next part of the answer. Must not block.

        ``is_coalesced``: the caller joins the parts of 50 ms, so that there is no need to wait for more.
        """

    def on_reasoning(self, text: str, *, is_coalesced: bool = False) -> None:
        """Handle the next part of the reasoning, as ``on_text``. Must not block."""

    def on_extras(self, extras: ProviderFields) -> None:
        """Handle fields of the message that a provider streamed. Must not block."""

    def on_upstream_call(self, call: UpstreamCall) -> None:
        """Handle a call to a provider. Must not block."""

    def on_ask(self, request: InputRequest) -> None:
        """Handle a question to the user; ``Task.answer`` receives the answer. Must not block."""

    def on_result(self, result: TaskResult) -> None:
        """Handle the result, after everything that the query sent before it."""

    def on_released(self) -> None:
        """Handle the release of the task's thread, greenlet, process and memory. Must not block."""


class Task(Protocol):
    """Handle of one running query."""

    def cancel(self) -> bool:
        """Stop the query without waiting; ``False`` if its code cannot be stopped and continues until it returns."""

    def answer(self, input_id: str, value: str | None) -> None:
        """Pass the answer to a question of the query, or ``None`` at its timeout, without waiting."""


class ExecutorStatistics(Struct, frozen=True):
    """Numbers of an executor's processes and threads.

    Attributes:
        workers: the processes that take queries.
        retired: the processes that take no more, and still run some.
        orphans: the queries that continue after the end of their run.
    """

    workers: int = 0
    retired: int = 0
    orphans: int = 0


class Executor(Protocol):
    """Runs queries beside their subscribers. Implementations inherit the defaults of this class.

    Attributes:
        capacity: the maximum number of concurrent queries; ``None`` if only memory limits it.
        outlives_server: whether its queries continue when the server stops, so that other servers can follow them.
        place: where queries of a ``def`` run, for the log: ``<backend> runs <place>``.
        async_place: where queries of an ``async def`` run.
    """

    capacity: int | None = None
    outlives_server: bool = False
    place: str = "elsewhere"
    async_place: str = "elsewhere"

    def submit(self, backend: Backend, query: Query, callbacks: TaskCallbacks) -> Task:
        """Start a query and return at once.

        An executor in this process calls ``backend.process_query``. Any other one sends the values ``backend.spec``
        and ``query`` to where the backend is imported.
        """

    def accepts(self, backend: Backend) -> bool:
        """Return whether this executor can run the backend; others run in greenlets of this process."""
        return True

    def warm_up(self) -> None:
        """Prepare for the first query; called in the process that serves, when it starts to."""
        return

    def describe(self, name: str) -> BackendDescription | None:
        """Return the properties of the backend ``name`` where this executor runs it; ``None`` if they are known.

        May wait until the backend has been imported.

        Raises:
            WorkerError: it cannot be imported.
        """
        return None

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call a function whenever the properties of the backends may have changed."""
        return

    def statistics(self) -> ExecutorStatistics:
        """Return the current numbers of processes and threads, for the metrics."""
        return ExecutorStatistics()

    def capacity_for(self, backend: Backend) -> int | None:
        """Return the maximum number of concurrent queries of a backend; ``None`` if only memory limits it."""
        return self.capacity

    def workers(self) -> Sequence[WorkerDescription]:
        """Return the workers on other machines that are alive."""
        return ()

    def problems(self) -> Sequence[str]:
        """Return what is wrong at the moment, for ``/readyz``; each is one line."""
        return ()

    def close(self) -> None:
        """Release all resources; called when the process stops serving."""
        return

"""Contract of executors. Imports no gevent, since worker processes import the package."""

from typing import Protocol

from persona_stream.backends.base import Backend
from persona_stream.core.query import Query, UpstreamCall
from persona_stream.core.result import TaskResult


class TaskCallbacks(Protocol):
    """Receiver of the events of one task. All methods are called in the thread of the event loop.

    Invariants:
        ``on_started`` comes first.
        ``on_result`` comes at most once, in a greenlet that may block, and not at all after a successful cancel.
        ``on_released`` comes exactly once, last, on every path.
    """

    def on_started(self) -> None:
        """Handle the start of the query; its deadline counts from here."""

    def on_progress(self, message: str, fraction: float | None) -> None:
        """Handle a progress report. Must not block."""

    def on_text(self, text: str) -> None:
        """Handle the next part of the answer. Must not block."""

    def on_reasoning(self, text: str) -> None:
        """Handle the next part of the reasoning. Must not block."""

    def on_upstream_call(self, call: UpstreamCall) -> None:
        """Handle a call to a provider. Must not block."""

    def on_result(self, result: TaskResult) -> None:
        """Handle the result, after everything that the query sent before it."""

    def on_released(self) -> None:
        """Handle the release of the task's thread, greenlet, process and memory. Must not block."""


class Task(Protocol):
    """Handle of one running query."""

    def cancel(self) -> bool:
        """Stop the query without waiting; ``False`` if its code cannot be stopped and continues until it returns."""


class Executor(Protocol):
    """Runs queries beside their subscribers. Implementations inherit the defaults of this class.

    Attributes:
        capacity: the maximum number of concurrent queries; ``None`` if only memory limits it.
    """

    capacity: int | None = None

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

    def close(self) -> None:
        """Release all resources; called when the process stops serving."""
        return

"""Where process_query runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct


class Returned(Struct, frozen=True):
    """process_query came back with this."""

    value: object


class Raised(Struct, frozen=True):
    """process_query raised this."""

    error: BaseException


TaskResult = Returned | Raised


class WorkerError(Exception):
    """Say, in words for the log, what went wrong with process_query in a process of its own."""


class AnswerTooLarge(WorkerError):
    """Say that an answer is so large that it was not even read."""


class Task(Protocol):
    """One call of process_query that is under way."""

    def cancel(self) -> bool:
        """Stop it if that is possible, without waiting; ``False`` says that it goes on until it returns."""
        ...


class Executor(Protocol):
    """Run process_query beside its readers.

    ``on_outcome`` is called once, in a greenlet that may block, unless the work was killed before it came to an
    end. ``on_release`` is called exactly once, after it, on every path: the work holds no thread, greenlet or
    memory any more.
    """

    @property
    def capacity(self) -> int | None:
        """How many works can be under way at once, or ``None`` where nothing but memory bounds it."""
        ...

    def start(
        self, work: Callable[[], object], on_outcome: Callable[[TaskResult], None], on_release: Callable[[], None]
    ) -> Task:
        """Begin, and come back at once."""
        ...

"""Task of a run whose question another run is answering: it passes on that run's progress, and then its answer.

The text of a backend that streams is held back until it is complete: so the run can still ask the backend itself if the
other one is cancelled.
"""

from collections.abc import Callable
from contextvars import copy_context

import gevent

from persona_stream.concurrency import Wakeup
from persona_stream.core import facts
from persona_stream.executors.base import Task
from persona_stream.journals.base import Journal
from persona_stream.runs.cache import answer_of
from persona_stream.runs.run import ActiveRun

_OWN_FAILURES = ("cancelled", "lost", "draining", "timeout")
"""Failures that concern the other run alone, which began earlier and may have a shorter deadline."""


class FollowingTask:
    """Task that follows the journal of another run; ``submit`` runs the query if that gives no answer.

    Its argument is whether it may follow yet another run, which asks the backend for all that followed this one.
    """

    def __init__(self, run: ActiveRun, leader: Journal, submit: Callable[[bool], Task]) -> None:
        self._run = run
        self._leader = leader
        self._submit = submit
        self._context = copy_context()  # that of the run, for its query
        self._read = 0
        self._task: Task | None = None
        self._is_over = False
        run.on_started()
        leader.subscribe(self._on_append)
        gevent.spawn(self._on_append)

    def cancel(self) -> bool:
        """Stop following, or the query if it runs."""
        if self._task is not None:
            return self._task.cancel()
        if not self._is_over:
            self._stop()
            self._run.on_released()
        return True

    def answer(self, input_id: str, value: str | None) -> None:
        """Pass on the answer to a question of the query."""
        if self._task is not None:
            self._task.answer(input_id, value)

    def _on_append(self) -> None:
        entries = self._leader.entries
        while self._read < len(entries) and not self._is_over:
            fact = entries[self._read].fact
            self._read += 1
            if isinstance(fact, facts.ProgressReported):
                self._run.on_progress(fact.message, fact.fraction)
            elif facts.is_ending(fact) or isinstance(fact, facts.InputRequested):  # the question is for its own user
                self._stop()
                gevent.spawn(self._context.run, self._end)  # a listener must not block

    def _stop(self) -> None:
        self._is_over = True
        self._leader.unsubscribe(self._on_append)

    def _end(self) -> None:
        ending = self._leader.entries[-1].fact
        answer = answer_of(self._leader.entries)
        if self._run.ended:
            pass
        elif answer is not None:
            self._run.complete(answer.final_facts())
        elif isinstance(ending, facts.Failed) and ending.code not in _OWN_FAILURES:
            self._run.complete((ending,))
        else:
            self._wait_until_stored()
            # An answer that may not be repeated, or a question: those of the next run probably would not do either, and
            # the runs would ask the backend one after the other.
            self._task = self._submit(isinstance(ending, facts.Failed))
            return
        self._run.on_released()

    def _wait_until_stored(self) -> None:
        """Wait until the store has the start: an executor may leave the journal to another process."""
        journal = self._run.journal
        wakeup = Wakeup()
        journal.subscribe(wakeup.set)
        try:
            wakeup.wait_until(lambda: facts.has_started(journal.entries))
        finally:
            journal.unsubscribe(wakeup.set)

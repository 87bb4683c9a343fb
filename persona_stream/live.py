"""One run while it is under way in this process: its work, its deadline, and its readers here.

The law: whatever happens to the work, the journal gets exactly one ending, and the place is given back once. An
ending is written before the work is killed, so that no reader waits for code that takes its time to die.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from persona_stream.backends import Backend
from persona_stream.clock import Clock
from persona_stream.executors import Executor, Outcome, Work
from persona_stream.executors.reports import Reports
from persona_stream.facts import Fact, Failed, Started
from persona_stream.hub import Home, Timer
from persona_stream.journals import Journal, terms
from persona_stream.logs import current_run
from persona_stream.observers import Observer
from persona_stream.outcomes import conclude
from persona_stream.query import Query

logger = logging.getLogger("persona_stream.runs")


class Live:
    """Hold a run under way. Made when it is accepted, let go when it has ended."""

    __slots__ = ("_deadline", "_grace", "_grace_timer", "_observers", "_on_settled", "_readers", "_reports", "_work",
                 "ended", "journal", "run_id")  # fmt: skip

    def __init__(
        self,
        journal: Journal,
        grace: float | None,
        observers: Sequence[Observer],
        on_settled: Callable[[Live], None],
    ) -> None:
        self.journal, self.run_id = journal, terms(journal).run_id
        self.ended = False
        self._grace, self._observers, self._on_settled = grace, observers, on_settled
        self._readers = 0
        self._work: Work | None = None
        self._deadline: Timer | None = None
        self._grace_timer: Timer | None = None
        self._reports: Reports | None = None

    def begin(
        self,
        query: Query,
        backend: Backend,
        executor: Executor,
        max_answer_bytes: int,
        clock: Clock,
        home: Home,
        on_release: Callable[[], None],
    ) -> None:
        """Run the query. ``on_release`` is called once, when the work holds nothing any more."""
        self.write(Started())
        self._reports = reports = Reports(self.write, clock, home)
        self._deadline = Timer(terms(self.journal).deadline, self.end, Failed("timeout"))
        asked = replace(query, on_report=reports.report)

        def work() -> object:
            current_run.set(self.run_id)
            return backend.process_query(asked)

        def concluded(outcome: Outcome) -> None:
            current_run.set(self.run_id)
            if not self.ended:
                for fact in conclude(outcome, max_answer_bytes):
                    self.write(fact)
                self._settle()

        try:
            self._work = executor.start(work, concluded, on_release)
        except BaseException:
            self.end(Failed("internal"))
            on_release()
            raise

    def write(self, fact: Fact) -> bool:
        """Write a fact, and tell the observers; ``False`` when the run has ended before."""
        if not self.journal.append(fact):
            return False
        for observer in self._observers:
            observer.observe(self.journal.entries)
        return True

    def end(self, ending: Failed) -> None:
        """End the run, if it has not ended, and stop its work, if it can be stopped."""
        if self.ended or not self.write(ending):
            return
        self._settle()
        if self._work is not None and not self._work.kill():
            logger.warning("its thread cannot be stopped, and keeps its place until it returns",
                           extra={"run_id": self.run_id})  # fmt: skip

    def joined(self) -> None:
        """Count a reader in."""
        self._readers += 1
        if self._grace_timer is not None:
            self._grace_timer.cancel()
            self._grace_timer = None

    def left(self) -> None:
        """Count a reader out; after the last one, the run lives on for the grace."""
        self._readers -= 1
        if not self._readers and not self.ended and self._grace is not None:
            self._grace_timer = Timer(self._grace, self.end, Failed("cancelled"))

    def _settle(self) -> None:
        self.ended = True
        for timer in (self._deadline, self._grace_timer, self._reports):
            if timer is not None:
                timer.cancel()
        self._on_settled(self)

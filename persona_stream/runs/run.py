"""One run while it is under way in this process: its work, its deadline, and its readers.

The law: whatever happens to the work, the journal gets exactly one ending, and the place is given back once. An
ending is written before the work is killed, so that no reader waits for code that takes its time to die. Somebody
else may end the run too, through its journal: then the work is stopped here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from persona_stream.backends.base import Backend
from persona_stream.concurrency import Home, Timer
from persona_stream.core.clock import Clock
from persona_stream.core.facts import Failed, Started
from persona_stream.core.query import Answer, Query
from persona_stream.executors.base import Executor, Outcome, Returned, Work
from persona_stream.executors.cancellation import Flag
from persona_stream.journals.base import Journal, has_ended, terms
from persona_stream.logging import current_run
from persona_stream.runs.buffering import Deltas, Reports
from persona_stream.runs.observer import Abandoned, Asked, Note, Observer, Raw, Released
from persona_stream.runs.result import conclude

logger = logging.getLogger("persona_stream.runs")

_LOOK = 1.0  # seconds, at the least, between looks for readers elsewhere


class Live:
    """Hold a run under way. Made when it is accepted, let go when it has ended."""

    __slots__ = ("_cancelled", "_deadline", "_deltas", "_grace", "_grace_timer", "_observed", "_observers",
                 "_on_settled", "_readers", "_reports", "_work", "ended", "goes_on", "journal", "run_id")  # fmt: skip

    def __init__(
        self,
        journal: Journal,
        grace: float | None,
        observers: Sequence[Observer],
        on_settled: Callable[[Live], None],
    ) -> None:
        self.journal, self.run_id = journal, terms(journal).run_id
        self.ended = False  # nothing more will be written from here
        self.goes_on = False  # it has ended, and its work cannot be stopped
        self._observed = 0
        self._grace, self._observers, self._on_settled = grace, observers, on_settled
        self._readers = 0
        self._work: Work | None = None
        self._deadline: Timer | None = None
        self._grace_timer: Timer | None = None
        self._reports: Reports | None = None
        self._deltas: Deltas | None = None
        self._cancelled = Flag()
        journal.listen(self._grown)

    def watch(self) -> None:
        """Tell the observers of the run, from its first fact on."""
        self._grown()

    def begin(
        self,
        query: Query,
        backend: Backend,
        executor: Executor,
        max_answer_bytes: int,
        clock: Clock,
        home: Home,
        on_release: Callable[[], None],
        history_tokens: int = 0,
    ) -> None:
        """Run the query. ``on_release`` is called once, when the work holds nothing any more."""
        self.journal.append(Started(history_tokens))
        self._reports = reports = Reports(self.journal.append, clock, home)
        self._deltas = deltas = Deltas(
            self.journal.append, max_answer_bytes, lambda: self.end(Failed("answer_too_large")), clock, home
        )
        self._deadline = Timer(terms(self.journal).deadline, self.end, Failed("timeout"))
        asked = replace(
            query,
            on_report=reports.report,
            on_text=deltas.text,
            on_reasoning=deltas.reasoning,
            on_upstream=lambda upstream: home.call(lambda: self._note(Asked(upstream))),
            cancelled=self._cancelled,
        )

        def work() -> object:
            current_run.set(self.run_id)
            return backend.process_query(asked)

        def concluded(outcome: Outcome) -> None:
            current_run.set(self.run_id)
            deltas.flush()
            if not self.ended:
                self._keep_raw(outcome)
                conclusion = conclude(outcome, max_answer_bytes, deltas.size)
                self._close()
                for fact in conclusion:
                    self.journal.append(fact)

        def released() -> None:
            on_release()
            self._note(Released())

        try:
            self._work = executor.start(work, concluded, released)
        except BaseException:
            self.end(Failed("internal"))
            released()
            raise

    def end(self, ending: Failed) -> None:
        """End the run, if it has not ended, and stop its work, if it can be stopped."""
        if self._deltas is not None:
            self._deltas.flush()
        if not self.ended:
            self._close()
            self.journal.append(ending)
            self._stop()

    def joined(self) -> None:
        """Count a reader in."""
        self._readers += 1
        if self._grace_timer is not None:
            self._grace_timer.cancel()
            self._grace_timer = None

    def left(self) -> None:
        """Count a reader out; after the last one, the run lives on for the grace."""
        self._readers -= 1
        if not (self._readers or self.ended) and self._grace is not None:
            self._grace_timer = Timer(self._grace, self._miss, self._grace, was_read=False)

    def _miss(self, grace: float, *, was_read: bool) -> None:
        """End the run unless somebody reads it, here or elsewhere.

        Who reads elsewhere is only seen by looking: after a look that found a reader, a whole grace must pass.
        """
        is_read = self.journal.is_read_elsewhere()
        # A reader may have come while we asked, or just before the timer could be stopped.
        if self._readers or self.ended:
            return
        if is_read or was_read:
            self._grace_timer = Timer(max(grace, _LOOK), self._miss, grace, was_read=is_read)
        else:
            self.end(Failed("cancelled"))

    def _keep_raw(self, outcome: Outcome) -> None:
        if isinstance(outcome, Returned) and isinstance(outcome.value, Answer) and outcome.value.raw is not None:
            self._note(Raw(outcome.value.raw))

    def _note(self, note: Note) -> None:
        for observer in self._observers:
            observer.note(self.run_id, note)

    def _grown(self) -> None:
        """Tell the observers what was written; and where that is an ending, let the run go."""
        entries = self.journal.entries
        while self._observed < len(entries):
            self._observed += 1
            for observer in self._observers:
                observer.observe(entries if self._observed == len(entries) else entries[: self._observed])
        if has_ended(self.journal):
            if not self.ended:
                self._close()
                self._stop()
            self.journal.unlisten(self._grown)
            self._on_settled(self)

    def _close(self) -> None:
        self.ended = True
        for timer in (self._deadline, self._grace_timer, self._reports, self._deltas):
            if timer is not None:
                timer.cancel()
        # They know this run too: whoever is in no circle is gone at once, and not when the collector comes round.
        self._deadline = self._grace_timer = self._reports = self._deltas = None

    def _stop(self) -> None:
        self._cancelled.set()
        if self._work is not None and not self._work.kill():
            self.goes_on = True
            logger.warning("its thread cannot be stopped, and keeps its place until it returns",
                           extra={"run_id": self.run_id})  # fmt: skip
            self._note(Abandoned())

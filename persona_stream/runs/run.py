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
from persona_stream.concurrency import HubThread, Timer
from persona_stream.core.clock import Clock
from persona_stream.core.facts import Failed, Started
from persona_stream.core.query import Answer, Query, QueryContext
from persona_stream.executors.base import Executor, Returned, Task, TaskResult
from persona_stream.executors.cancellation import CancelToken
from persona_stream.journals.base import Journal, has_ended, run_terms
from persona_stream.logging import current_run_id
from persona_stream.runs.buffering import DeltaBuffer, ProgressThrottle
from persona_stream.runs.observer import (
    Notification,
    RawResponse,
    RunObserver,
    TaskOrphaned,
    TaskReleased,
    UpstreamCalled,
)
from persona_stream.runs.result import to_final_facts

logger = logging.getLogger("persona_stream.runs")

_LOOK = 1.0  # seconds, at the least, between looks for readers elsewhere


class _Context(QueryContext):
    """Context of a query of this process."""


class ActiveRun:
    """Hold a run under way. Made when it is accepted, let go when it has ended."""

    __slots__ = (
        "_cancelled",
        "_deadline",
        "_deltas",
        "_grace",
        "_grace_timer",
        "_observed",
        "_observers",
        "_on_settled",
        "_readers",
        "_reports",
        "_work",
        "ended",
        "is_orphaned",
        "journal",
        "run_id",
    )

    def __init__(
        self,
        journal: Journal,
        grace: float | None,
        observers: Sequence[RunObserver],
        on_finished: Callable[[ActiveRun], None],
    ) -> None:
        self.journal, self.run_id = journal, run_terms(journal).run_id
        self.ended = False  # nothing more will be written from here
        self.is_orphaned = False  # it has ended, and its work cannot be stopped
        self._observed = 0
        self._grace, self._observers, self._on_settled = grace, observers, on_finished
        self._readers = 0
        self._work: Task | None = None
        self._deadline: Timer | None = None
        self._grace_timer: Timer | None = None
        self._reports: ProgressThrottle | None = None
        self._deltas: DeltaBuffer | None = None
        self._cancelled = CancelToken()
        journal.subscribe(self._on_append)

    def notify_started(self) -> None:
        """Tell the observers of the run, from its first fact on."""
        self._on_append()

    def start(
        self,
        query: Query,
        backend: Backend,
        executor: Executor,
        max_answer_bytes: int,
        clock: Clock,
        home: HubThread,
        on_release: Callable[[], None],
        history_tokens: int = 0,
    ) -> None:
        """Run the query. ``on_release`` is called once, when the work holds nothing any more."""
        self.journal.append(Started(history_tokens))
        self._reports = reports = ProgressThrottle(self.journal.append, clock, home)
        self._deltas = deltas = DeltaBuffer(
            self.journal.append, max_answer_bytes, lambda: self.finish(Failed("answer_too_large")), clock, home
        )
        self._deadline = Timer(run_terms(self.journal).deadline, self.finish, Failed("timeout"))
        context = _Context()
        context.on_progress = reports.report  # type: ignore[method-assign]
        context.on_text = deltas.text  # type: ignore[method-assign]
        context.on_reasoning = deltas.reasoning  # type: ignore[method-assign]
        context.on_upstream_call = lambda call: home.call_soon(lambda: self._notify(UpstreamCalled(call)))  # type: ignore[method-assign]
        context.cancelled = self._cancelled
        asked = replace(query, _context=context)

        def work() -> object:
            current_run_id.set(self.run_id)
            return backend.process_query(asked)

        def concluded(outcome: TaskResult) -> None:
            current_run_id.set(self.run_id)
            deltas.flush()
            if not self.ended:
                self._keep_raw(outcome)
                conclusion = to_final_facts(outcome, max_answer_bytes, deltas.size)
                self._close()
                for fact in conclusion:
                    self.journal.append(fact)

        def released() -> None:
            on_release()
            self._notify(TaskReleased())

        try:
            self._work = executor.start(work, concluded, released)
        except BaseException:
            self.finish(Failed("internal"))
            released()
            raise

    def finish(self, ending: Failed) -> None:
        """End the run, if it has not ended, and stop its work, if it can be stopped."""
        if self._deltas is not None:
            self._deltas.flush()
        if not self.ended:
            self._close()
            self.journal.append(ending)
            self._stop()

    def add_subscriber(self) -> None:
        """Count a reader in."""
        self._readers += 1
        if self._grace_timer is not None:
            self._grace_timer.cancel()
            self._grace_timer = None

    def remove_subscriber(self) -> None:
        """Count a reader out; after the last one, the run lives on for the grace."""
        self._readers -= 1
        if not (self._readers or self.ended) and self._grace is not None:
            self._grace_timer = Timer(self._grace, self._check_abandoned, self._grace, was_read=False)

    def _check_abandoned(self, grace: float, *, was_read: bool) -> None:
        """End the run unless somebody reads it, here or elsewhere.

        Who reads elsewhere is only seen by looking: after a look that found a reader, a whole grace must pass.
        """
        is_read = self.journal.has_remote_subscribers()
        # A reader may have come while we asked, or just before the timer could be stopped.
        if self._readers or self.ended:
            return
        if is_read or was_read:
            self._grace_timer = Timer(max(grace, _LOOK), self._check_abandoned, grace, was_read=is_read)
        else:
            self.finish(Failed("cancelled"))

    def _keep_raw(self, outcome: TaskResult) -> None:
        if isinstance(outcome, Returned) and isinstance(outcome.value, Answer) and outcome.value.raw is not None:
            self._notify(RawResponse(outcome.value.raw))

    def _notify(self, note: Notification) -> None:
        for observer in self._observers:
            observer.on_notification(self.run_id, note)

    def _on_append(self) -> None:
        """Tell the observers what was written; and where that is an ending, let the run go."""
        entries = self.journal.entries
        while self._observed < len(entries):
            self._observed += 1
            for observer in self._observers:
                observer.on_fact(entries if self._observed == len(entries) else entries[: self._observed])
        if has_ended(self.journal):
            if not self.ended:
                self._close()
                self._stop()
            self.journal.unsubscribe(self._on_append)
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
        if self._work is not None and not self._work.cancel():
            self.is_orphaned = True
            logger.warning(
                "its thread cannot be stopped, and keeps its place until it returns", extra={"run_id": self.run_id}
            )
            self._notify(TaskOrphaned())

"""Active run: its task, its deadline and its subscribers in this process.

Invariants:
    On every path the journal gets exactly one ending, and the slot is released once.
    The ending is written before the task is cancelled, so that no subscriber waits for code that is slow to stop.
    Another process may end the run through its journal; the task is then cancelled here.
"""

import logging
from collections.abc import Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import Protocol

import gevent
from msgspec import Struct

from persona_stream.concurrency import Timer, compute_in_threadpool
from persona_stream.core import coalescing, facts, usage
from persona_stream.core.clock import Clock
from persona_stream.core.content import MAX_SLICE_CHARACTERS, ProviderFields
from persona_stream.core.forecast import Forecast
from persona_stream.core.query import Answer, InputRequest, Query, UpstreamCall
from persona_stream.core.result import Returned, TaskResult, check_extras, text_length, to_final_facts
from persona_stream.errors import Unavailable
from persona_stream.executors.base import Task
from persona_stream.journals.base import Journal
from persona_stream.logging import current_run_id, log_exception
from persona_stream.runs import base, buffering
from persona_stream.runs.queue import Reservation

logger = logging.getLogger("persona_stream.runs")

MIN_CHECK_INTERVAL = 1.0  # seconds between two checks for subscribers of other processes


class RunLimits(Struct, frozen=True):
    """Operator's limits: deadline and retention in seconds, size of an answer in bytes."""

    deadline: float
    retention: float
    max_answer_bytes: int


class RunHost(Protocol):
    """Services that an active run needs from its manager."""

    clock: Clock
    limits: RunLimits

    def load_history(self, query: Query) -> Query:
        """Return the query with the history of its conversation. May block."""

    def submit(self, run: "ActiveRun", query: Query) -> Task:
        """Submit the query to the executor of the run's backend, with the run as its callbacks."""

    def forecast(self, run: "ActiveRun", history_tokens: int) -> Forecast | None:
        """Return the forecast of a run that starts now."""

    def expected_seconds(self, run: "ActiveRun") -> float | None:
        """Return the mean of the seconds that a run will need its slot, if it is known."""

    def on_fact(self, entries: Sequence[facts.Entry]) -> None:
        """Pass the last entry to the observers."""

    def notify(self, run_id: str, notification: base.Notification) -> None:
        """Pass a notification to the observers."""

    def on_finished(self, run: "ActiveRun") -> None:
        """Handle the end of the run."""

    def on_released(self, run: "ActiveRun") -> None:
        """Handle the release of the run's task, if it had one."""


class ActiveRun:
    """Run in progress; the callbacks of its task."""

    __slots__ = (
        "_context", "_deadline", "_deltas", "_grace_timer", "_history_tokens", "_host", "_inputs", "_observed",
        "_progress", "_subscribers", "_task", "ended", "is_orphaned", "journal", "request", "reservation", "run_id",
    )  # fmt: skip

    def __init__(
        self, journal: Journal, request: base.RunRequest, reservation: Reservation, host: RunHost, context: Context
    ) -> None:
        """Create the run; its query will run in ``context``."""
        self.journal = journal
        self.request = request
        self.reservation = reservation
        self.run_id = facts.run_terms(journal.entries).run_id
        self.ended = False  # whether this process writes no more facts
        self.is_orphaned = False  # whether the run has ended, and its task cannot be cancelled
        self._host = host
        self._context = context
        self._observed = 0
        self._subscribers = 0
        self._history_tokens = 0
        self._task: Task | None = None
        self._deadline: Timer | None = None
        self._grace_timer: Timer | None = None
        self._inputs: dict[str, Timer | None] = {}  # the open questions of the task, with the timers of their timeouts
        self._progress: buffering.ProgressThrottle | None = None
        self._deltas: buffering.DeltaBuffer | None = None
        journal.subscribe(self._on_append)

    def notify_accepted(self) -> None:
        """Pass the facts so far to the observers."""
        self._on_append()

    def start(self) -> None:
        """Start the query. Called once, when the run has a slot; never blocks."""
        if self.request.continues_conversation:
            gevent.spawn(self._context.run, self._start)  # loading the history may block
        else:
            self._context.run(self._start)

    def _start(self) -> None:
        query = self.request.query
        try:
            if self.request.continues_conversation and not self.ended:
                query = self._host.load_history(query)
                self._history_tokens = usage.count_tokens(turn.content for turn in query.history)
            if not self.ended:
                self._task = self._host.submit(self, query)
                return
        except Unavailable as error:
            logger.warning("cannot load the history of the conversation: %s", error, extra={"run_id": self.run_id})
            self.finish(facts.Failed("internal"))
        except BaseException:
            self.finish(facts.Failed("internal"))
            self._host.on_released(self)
            raise
        self._host.on_released(self)

    def started_fact(self) -> facts.Started | None:
        """Return the fact of the start; ``None`` if the run has started, because it followed another one before."""
        if self._deadline is not None:
            return None
        return facts.Started(self._history_tokens, self._host.forecast(self, self._history_tokens))

    def expected_seconds(self) -> float | None:
        """Return the mean of the seconds that the run will need its slot, if it is known."""
        return self._host.expected_seconds(self)

    def on_started(self) -> None:
        """Write ``Started`` and start the deadline, unless the run has started."""
        if self.ended or (started := self.started_fact()) is None:
            return
        self.journal.append(started)
        self._deadline = Timer(facts.run_terms(self.journal.entries).deadline, self.finish, facts.Failed("timeout"))

    def on_progress(self, message: str, fraction: float | None) -> None:
        """Write a progress report, at a limited rate."""
        if self.ended:
            return
        if self._progress is None:
            self._progress = buffering.ProgressThrottle(self.journal.append, self._host.clock)
        self._progress.report(message, fraction)

    def on_text(self, text: str, *, is_coalesced: bool = False) -> None:
        """Write a part of the answer, coalesced."""
        self._add_delta(facts.AnswerDelta, text, is_coalesced=is_coalesced)

    def on_reasoning(self, text: str, *, is_coalesced: bool = False) -> None:
        """Write a part of the reasoning, coalesced."""
        self._add_delta(facts.ReasoningDelta, text, is_coalesced=is_coalesced)

    def on_extras(self, extras: ProviderFields) -> None:
        """Write fields of the message that a provider streamed, coalesced."""
        checked, _ = check_extras(extras)
        if checked is not None:
            self._add_delta(facts.ProviderDelta, checked)

    def on_upstream_call(self, call: UpstreamCall) -> None:
        """Notify the observers of a call to a provider."""
        self._host.notify(self.run_id, base.UpstreamCalled(call))

    def on_ask(self, request: InputRequest) -> None:
        """Write a question to the user, after the text before it, and start its timeout."""
        if self._deltas is not None:
            self._deltas.flush()
        if self.ended:
            return
        if not request.is_refused:
            expire = partial(self.journal.append, facts.InputClosed(request.input_id))
            self._inputs[request.input_id] = None if request.timeout is None else Timer(request.timeout, expire)
        self.journal.append(facts.InputRequested(request))

    def on_result(self, result: TaskResult) -> None:
        """Write the ending of the result, if the run has not ended."""
        current_run_id.set(self.run_id)
        if self._deltas is not None:
            self._deltas.flush()
        if self.ended:
            return
        if isinstance(result, Returned) and isinstance(result.value, Answer) and result.value.raw is not None:
            self._host.notify(self.run_id, base.RawResponse(result.value.raw))
        sent_bytes = 0 if self._deltas is None else self._deltas.size
        max_bytes = self._host.limits.max_answer_bytes
        convert = partial(to_final_facts, result, max_bytes, sent_bytes, self.request.backend.name)
        try:
            if (characters := text_length(result)) > MAX_SLICE_CHARACTERS:
                context = copy_context()  # has the run id for the log
                final_facts = compute_in_threadpool(characters, lambda: context.run(convert))
            else:
                final_facts = convert()
        except Exception:  # noqa: BLE001 - of a value of the backend, or of a handler of the log
            log_exception(logger, "the result of process_query has no facts")
            final_facts = (facts.Failed("internal"),)
        self.complete(final_facts)

    def complete(self, final_facts: Sequence[facts.Fact]) -> None:
        """End the run with the facts of a result, unless it has ended: of its own query, or of another run."""
        if not self.ended:
            self._close()
            for fact in final_facts:
                self.journal.append(fact)

    def on_released(self) -> None:
        """Release the slot."""
        self._task = None
        self._host.on_released(self)
        self._host.notify(self.run_id, base.TaskReleased())

    def finish(self, ending: facts.Failed) -> None:
        """End the run, if it has not ended, and cancel its task."""
        if self._deltas is not None:
            self._deltas.flush()
        if not self.ended:
            self._close()
            self.journal.append(ending)
            self._cancel_task()

    def add_subscriber(self) -> None:
        """Register a subscriber."""
        self._subscribers += 1
        if self._grace_timer is not None:
            self._grace_timer.cancel()
            self._grace_timer = None

    def remove_subscriber(self) -> None:
        """Unregister a subscriber; after the last one, the run continues for its grace period."""
        self._subscribers -= 1
        grace = self.request.grace
        if not (self._subscribers or self.ended) and grace is not None:
            self._grace_timer = Timer(grace, partial(self._check_abandoned, grace, was_read=False))

    def _check_abandoned(self, grace: float, *, was_read: bool) -> None:
        """End the run unless it has subscribers, here or in another process.

        Subscribers of other processes are found by polling: after one was found, a whole grace period must pass.
        """
        is_read = self.journal.has_remote_subscribers()
        # A subscriber may have come during the call, or just before the timer could be cancelled.
        if self._subscribers or self.ended:
            return
        if is_read or was_read:
            check = partial(self._check_abandoned, grace, was_read=is_read)
            self._grace_timer = Timer(max(grace, MIN_CHECK_INTERVAL), check)
        else:
            self.finish(facts.Failed("cancelled"))

    def _add_delta(
        self, delta_type: coalescing.DeltaType, part: str | ProviderFields, *, is_coalesced: bool = False
    ) -> None:
        if self.ended:
            return
        if self._deltas is None:
            on_overflow = partial(self.finish, facts.Failed("answer_too_large"))
            max_bytes = self._host.limits.max_answer_bytes
            self._deltas = buffering.DeltaBuffer(self.journal.append, max_bytes, on_overflow, self._host.clock)
        self._deltas.add(delta_type, part, is_coalesced=is_coalesced)

    def _on_append(self) -> None:
        """Pass new facts to the observers; after the ending, close the run."""
        entries = self.journal.entries
        while self._observed < len(entries):
            fact = entries[self._observed].fact
            self._observed += 1
            if isinstance(fact, facts.InputClosed) and fact.input_id in self._inputs:
                self._close_input(fact)
            self._host.on_fact(entries if self._observed == len(entries) else entries[: self._observed])
        if facts.has_ended(self.journal.entries):
            if not self.ended:
                self._close()
                self._cancel_task()
            self.journal.unsubscribe(self._on_append)
            self._host.on_finished(self)

    def _close_input(self, fact: facts.InputClosed) -> None:
        if (timer := self._inputs.pop(fact.input_id)) is not None:
            timer.cancel()
        if self._task is not None:
            self._task.answer(fact.input_id, fact.value)

    def _close(self) -> None:
        self.ended = True
        for timer in (self._deadline, self._grace_timer, self._progress, self._deltas, *self._inputs.values()):
            if timer is not None:
                timer.cancel()
        # Each of them refers to this run: without the cycles, memory is freed at once and not by the collector.
        self._deadline = None
        self._grace_timer = None
        self._progress = None
        self._deltas = None
        self._inputs.clear()

    def _cancel_task(self) -> None:
        if self._task is not None and not self._task.cancel():
            self.is_orphaned = True
            logger.warning(
                "the query cannot be cancelled; its slot stays in use until it returns", extra={"run_id": self.run_id}
            )

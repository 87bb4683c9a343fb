"""Run manager: starts, finds, follows, cancels and drains runs. A run outlives the connection that started it."""

import logging
import math
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from functools import partial

import gevent

from persona_stream.backends.base import Backend
from persona_stream.concurrency import Wakeup
from persona_stream.core import facts, usage
from persona_stream.core.clock import Clock
from persona_stream.core.forecast import Forecast
from persona_stream.core.query import Query
from persona_stream.core.run_id import new_run_id
from persona_stream.errors import (
    Conflict,
    Gone,
    InvalidRequest,
    NotFound,
    Overloaded,
    ShuttingDown,
    Unavailable,
)
from persona_stream.executors.base import Executor, Task
from persona_stream.journals.base import RUN_NOT_FOUND_MESSAGE, Journal, JournalStore
from persona_stream.logging import current_run_id, log_exception
from persona_stream.runs.base import Notification, RunObserver, RunRequest, RunStarted
from persona_stream.runs.cache import AnswerCache, CachedAnswer, answer_of
from persona_stream.runs.following import FollowingTask
from persona_stream.runs.forecasts import RunForecasts, features_of
from persona_stream.runs.queue import RETRY_AFTER, Reservation, RunQueue
from persona_stream.runs.run import ActiveRun, RunLimits

logger = logging.getLogger("persona_stream.runs")

CONFIRM_TIMEOUT = 2.0  # seconds until an ending is stored
INPUT_NOT_FOUND_MESSAGE = "The run has not asked this question: take input_id from its newest input_required event"
INPUT_CLOSED_MESSAGE = "The question is not open any more: it was answered, or has expired, or the run has ended"
_CLAIM_MARGIN = 5.0  # seconds
CANCEL_TIMEOUT = 1.0  # second that a cancelled task has to stop


class RunManager:
    """Manager of the runs of this process.

    Attributes:
        reads_requests: whether an observer reads more of a request than its endpoint.
    """

    def __init__(
        self,
        *,
        executor_for: Callable[[Backend], Executor],
        journals: JournalStore,
        queue: RunQueue,
        limits: RunLimits,
        clock: Clock,
        observers: Sequence[RunObserver] = (),
        load_history: Callable[[Query], Query] = lambda query: query,
        create_context: Callable[[], Context] = copy_context,
        forecasts: RunForecasts | None = None,
        cache: AnswerCache | None = None,
    ) -> None:
        """Create the manager; ``load_history`` may block, and each query runs in a context of ``create_context``."""
        self.clock = clock
        self.limits = limits
        self.load_history = load_history
        self.draining = False  # whether new runs are refused
        self.reads_requests = any(each.reads_requests for each in observers)
        self.forecasts = forecasts or RunForecasts(limits.deadline)
        self._cache = cache
        self._cache_keys: dict[str, str] = {}  # of active runs whose answers may be kept
        self._following: set[str] = set()  # active runs whose tasks follow another run
        self._executor_for = executor_for
        self._journals = journals
        self._queue = queue
        self._create_context = create_context
        # Without the inherited no-op methods.
        base = RunObserver
        self._on_fact = [each.on_fact for each in observers if type(each).on_fact is not base.on_fact]
        notified = [each for each in observers if type(each).on_notification is not base.on_notification]
        self._on_notification = [each.on_notification for each in notified]
        self._active: dict[str, ActiveRun] = {}
        self._with_task: dict[str, ActiveRun] = {}  # a task may outlive its run
        self._finished = Wakeup()
        self._is_drain_aborted = False

    def start(self, request: RunRequest) -> Journal:
        """Start a run, or return the one that was started with the same idempotency key.

        Raises:
            Conflict: the idempotency key was used for another request.
            Overloaded: the server, or the owner, is at capacity.
            ShuttingDown: this process is shutting down.
            Unavailable: the backend or the journal store is unavailable.
        """
        query = request.query
        owner = query.principal.subject
        conversation = query.conversation_id if request.continues_conversation else None
        reservation = Reservation(owner, conversation)
        cache_key = None if self._cache is None else self._cache.key_of(request)
        cached = self._find_cached(cache_key, request)
        try:
            if cached is None:
                self._check_available(request.backend)
                self._queue.reserve(reservation)
        except (Overloaded, ShuttingDown, Unavailable):
            # A run that exists needs no slot.
            key = request.idempotency_key
            if key is not None and (known := self._journals.find_by_key(owner, key)) is not None:
                return known
            raise
        try:
            journal, is_new = self._journals.create(self._terms(request), request.idempotency_key)
        except BaseException:
            self._cancel_reservation(reservation)
            raise
        run_id = facts.run_terms(journal.entries).run_id
        current_run_id.set(run_id)
        if not is_new:
            self._cancel_reservation(reservation)
            return journal
        # Context variables that observers set belong to this run, and not to the connection's next request.
        context = self._create_context()
        context.run(self.notify, run_id, RunStarted(request))
        run = ActiveRun(journal, request, reservation, self, context)
        self._active[run_id] = run
        run.notify_accepted()
        if cached is not None:
            run.complete((facts.Started(), *cached.final_facts()))
            return journal
        if cache_key is not None:
            self._cache_keys[run_id] = cache_key
        self._queue.submit(run)
        return journal

    def find(self, run_id: str, owner: str | None) -> Journal:
        """Return the journal of a run of ``owner`` (``None``: any); raise ``NotFound``, ``Gone`` or ``Unavailable``."""
        return _check_owner(self._journals.find(run_id), owner)

    def follow(self, run_id: str, owner: str | None) -> Journal:
        """Return a journal that continues to grow. Otherwise as ``find``."""
        return _check_owner(self._journals.follow(run_id), owner)

    def list_for_owner(self, owner: str, before: str | None, limit: int) -> tuple[Sequence[Journal], str | None]:
        """Return an owner's newest runs older than run ``before``, and the ``before`` of the next page, if any."""
        page = self._journals.list_for_owner(owner, before, limit + 1)
        next_before = facts.run_terms(page[limit - 1].entries).run_id if len(page) > limit else None
        return page[:limit], next_before

    def subscribe(self, journal: Journal) -> Callable[[], None]:
        """Register a subscriber of a run; return the function that unregisters it, to be called once."""
        run = self._active.get(facts.run_terms(journal.entries).run_id)
        if run is None:  # after the ending nothing depends on subscribers
            return lambda: None
        run.add_subscriber()
        return run.remove_subscriber

    def notify(self, run_id: str, notification: Notification) -> None:
        """Pass a notification to the observers."""
        for on_notification in self._on_notification:
            try:
                on_notification(run_id, notification)
            except Exception:  # noqa: BLE001 - of a handler of the log, or of an observer from outside
                log_exception(logger, "an observer of runs failed")

    def cancel(self, journal: Journal) -> None:
        """End a run, if it has not ended, and wait up to two seconds until the ending is stored."""
        if run := self._active.get(facts.run_terms(journal.entries).run_id):
            run.finish(facts.Failed("cancelled"))
        else:
            journal.append(facts.Failed("cancelled"))
        wait_until_finished(journal, CONFIRM_TIMEOUT)

    def open_question(self, run_id: str) -> str | None:
        """Return the open question of a run of this process, if it has one."""
        run = self._active.get(run_id)
        request = None if run is None else facts.open_input(run.journal.entries)
        return None if request is None else request.question

    def answer_input(self, journal: Journal, answer: facts.InputClosed) -> None:
        """Answer a question of a run, and wait up to two seconds until the answer is stored.

        Raises:
            NotFound: the run has not asked this question.
            InvalidRequest: the answer is not one of the choices.
            Conflict: the question was answered, or has expired, or the run has ended.
            Unavailable: the journal store is unavailable.
        """
        if (request := facts.find_input(journal.entries, answer.input_id)) is None:
            journal.refresh()  # the client may have read the question in another process
            request = facts.find_input(journal.entries, answer.input_id)
        if request is None:
            raise NotFound(INPUT_NOT_FOUND_MESSAGE)
        if request.choices is not None and answer.value not in request.choices:
            raise InvalidRequest(f"value: must be one of {', '.join(request.choices)}", "value")

        def find_closed() -> facts.InputClosed | None:
            return facts.closed_input(journal.entries, answer.input_id)

        if find_closed() is None:
            journal.append(answer)
        wait_until_finished(journal, CONFIRM_TIMEOUT, lambda: find_closed() is not None)
        closed = find_closed()
        if closed is None and not facts.has_ended(journal.entries):
            raise Unavailable("The answer could not be stored; retry in 2 s", RETRY_AFTER)
        if closed is None or closed.attempt != answer.attempt:
            raise Conflict(INPUT_CLOSED_MESSAGE)

    def delete(self, journal: Journal) -> None:
        """End a run, if it has not ended, and delete its journal; raise ``Unavailable`` if the store is."""
        self.cancel(journal)
        self._journals.delete(journal)

    def stop_accepting(self) -> None:
        """Refuse new runs."""
        self.draining = True

    def drain(self, seconds: float) -> None:
        """Refuse new runs, wait for the active ones, and after ``seconds`` end the rest with ``draining``."""
        self.stop_accepting()
        self._finished.wait_until(lambda: self._is_drain_aborted or not self._local_runs(), seconds)
        for run in self._local_runs():
            run.finish(facts.Failed("draining"))
        self._finished.wait_until(lambda: not self._local_runs(), CONFIRM_TIMEOUT)

    def abort_drain(self) -> None:
        """Make ``drain`` end the active runs now."""
        self._is_drain_aborted = True
        self._finished.set()

    def unavailable_services(self) -> Sequence[str]:
        """Return the names of required services that are unavailable."""
        return self._journals.unavailable_services()

    def close(self) -> None:
        """Close the journal store."""
        self._journals.close()

    @property
    def is_shared(self) -> bool:
        """Whether other processes can read the runs, and continue when this one stops."""
        return self._journals.is_shared

    @property
    def active_count(self) -> int:
        """Number of runs that have not ended."""
        return len(self._active)

    def has_orphaned_task(self, run_id: str) -> bool:
        """Return whether a run has ended, and its task in this process continues; one second is allowed to stop."""
        run = self._with_task.get(run_id)
        if run is None or not run.ended:
            return False
        return run.is_orphaned or self.clock() > run.journal.entries[-1].at + CANCEL_TIMEOUT

    def submit(self, run: ActiveRun, query: Query, may_follow: bool = True) -> Task:
        """Submit a run's query to the executor of its backend, or follow a run that is answering the same question."""
        self._with_task[run.run_id] = run
        leader = self._leader_of(run) if may_follow else None
        if leader is None:
            self._following.discard(run.run_id)
            task = self._executor_for(run.request.backend).submit(run.request.backend, query, run)
        else:
            self._following.add(run.run_id)
            task = FollowingTask(run, leader, partial(self.submit, run, query))
        if run.ended:  # while the claim waited for the store
            task.cancel()
        return task

    def _find_cached(self, key: str | None, request: RunRequest) -> CachedAnswer | None:
        return None if self._cache is None or key is None or request.is_fresh else self._cache.find(key)

    def _leader_of(self, run: ActiveRun) -> Journal | None:
        """Return the journal of the run that answers the same question, if there is one that has not ended."""
        key = self._cache_keys.get(run.run_id)
        if self._cache is None or key is None or run.request.is_fresh:
            return None
        longest = facts.run_terms(run.journal.entries).deadline + _CLAIM_MARGIN
        leader_id = self._cache.claim(key, run.run_id, longest)
        while leader_id not in (None, run.run_id):
            try:
                leader = self._journals.follow(leader_id)
            except Unavailable:
                return None
            except (NotFound, Gone):
                leader = None
            if leader is not None:
                if answer_of(leader.entries) is not None:
                    return leader
                if not facts.has_ended(leader.entries):
                    return None if facts.has_asked(leader.entries) else leader
            # Its process may be gone: one of the runs that followed it becomes the next leader.
            leader_id = self._cache.take_over(key, leader_id, run.run_id, longest)
        return None

    def forecast(self, run: ActiveRun, history_tokens: int) -> Forecast | None:
        """Return the forecast of a run that starts now."""
        features = features_of(facts.run_terms(run.journal.entries), history_tokens, self.clock())
        return self.forecasts.forecast(run.request.backend.name, features)

    def expected_seconds(self, run: ActiveRun) -> float | None:
        """Return the mean of the seconds that a run will need its slot, if it is known."""
        features = features_of(facts.run_terms(run.journal.entries), 0, self.clock())
        return self.forecasts.expected_seconds(run.request.backend.name, features)

    def on_fact(self, entries: Sequence[facts.Entry]) -> None:
        """Pass the last entry to the observers."""
        for on_fact in self._on_fact:
            try:
                on_fact(entries)
            except Exception:  # noqa: BLE001 - of a handler of the log, or of an observer from outside
                log_exception(logger, "an observer of runs failed")

    def on_finished(self, run: ActiveRun) -> None:
        """Remove a run that has ended."""
        del self._active[run.run_id]
        self._following.discard(run.run_id)
        if self._cache is not None and (key := self._cache_keys.pop(run.run_id, None)) is not None:
            finish = partial(self._cache.finish, key, run.journal.entries)
            gevent.spawn(finish) if self._journals.is_shared else finish()
        self._queue.finish(run.reservation)
        self.forecasts.record(run.request.backend.name, run.journal.entries)
        self._finished.set()

    def on_released(self, run: ActiveRun) -> None:
        """Release the slot of a run whose task is gone."""
        self._with_task.pop(run.run_id, None)
        self._queue.release(run.reservation)

    def _local_runs(self) -> list[ActiveRun]:
        """Return the active runs that end with this process."""
        return [
            run
            for run in self._active.values()
            if run.run_id in self._following or not self._executor_for(run.request.backend).outlives_server
        ]

    def _check_available(self, backend: Backend) -> None:
        if self.draining:
            raise ShuttingDown(f"The server is shutting down: try again in {RETRY_AFTER} s", RETRY_AFTER)
        if retry_after := backend.retry_after():
            seconds = math.ceil(retry_after)
            raise Unavailable(f"The backend is unavailable: try again in {seconds} s", seconds)

    def _cancel_reservation(self, reservation: Reservation) -> None:
        self._queue.finish(reservation)
        self._queue.release(reservation)

    def _terms(self, request: RunRequest) -> facts.Accepted:
        query = request.query
        return facts.Accepted(
            run_id=new_run_id(self.clock()),
            owner=query.principal.subject,
            username=query.username,
            conversation_id=query.conversation_id,
            style=request.style,
            chunking=request.chunking,
            locale=query.locale,
            reasoning=request.reasoning,
            deadline=query.timeout or self.limits.deadline,
            resume_for=self.limits.retention,
            question_tokens=usage.query_tokens(query),
            backend=request.backend.name,
            request=request.stored_request,
            is_logged=request.is_logged,
        )


def wait_until_finished(
    journal: Journal,
    seconds: float = math.inf,
    should_stop: Callable[[], bool] = lambda: False,
    poll_interval: float = math.inf,
    wakeup: Wakeup | None = None,
) -> None:
    """Wait until a run has ended or ``should_stop`` returns true.

    ``should_stop`` is called at each fact, every ``poll_interval`` seconds, and when another component sets ``wakeup``.
    """
    wakeup = wakeup or Wakeup()
    journal.subscribe(wakeup.set)
    try:
        wakeup.wait_until(lambda: facts.has_ended(journal.entries) or should_stop(), seconds, poll_interval)
    finally:
        journal.unsubscribe(wakeup.set)


def _check_owner(journal: Journal, owner: str | None) -> Journal:
    if owner is not None and facts.run_terms(journal.entries).owner != owner:
        raise NotFound(RUN_NOT_FOUND_MESSAGE)
    current_run_id.set(facts.run_terms(journal.entries).run_id)  # the caller's log lines concern this run
    return journal

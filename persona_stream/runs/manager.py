"""Runs: start one, find it, read it, cancel it. A run outlives the connection that started it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from functools import partial

import gevent
from msgspec import Struct

from persona_stream.backends.base import Backend
from persona_stream.concurrency import HubThread, Wakeup
from persona_stream.core.clock import Clock
from persona_stream.core.facts import Accepted, Failed
from persona_stream.core.query import Query
from persona_stream.core.run_id import new_run_id
from persona_stream.core.usage import count_tokens, query_tokens
from persona_stream.errors import NotFound, Overloaded, ShuttingDown, Unavailable
from persona_stream.executors.base import Executor
from persona_stream.journals.base import Journal, JournalStore, has_ended, run_terms
from persona_stream.logging import current_run_id
from persona_stream.runs.observer import Notification, RunObserver, RunStarted
from persona_stream.runs.queue import Reservation, RunQueue
from persona_stream.runs.request import RunRequest
from persona_stream.runs.run import ActiveRun

logger = logging.getLogger("persona_stream.runs")

_MOMENT = 2.0  # seconds
_TO_STOP = 1.0  # second


class RunLimits(Struct, frozen=True):
    """Hold the operator's bounds: deadline and retention in seconds, the answer's size in bytes."""

    deadline: float
    retention: float
    max_answer_bytes: int


class RunManager:
    """Keep the runs of this process."""

    def __init__(
        self,
        *,
        executor: Callable[[Backend], Executor],
        journals: JournalStore,
        queue: RunQueue,
        limits: RunLimits,
        clock: Clock,
        observers: Sequence[RunObserver] = (),
        load_history: Callable[[Query], Query] = lambda query: query,
        context: Callable[[], Context] = copy_context,
    ) -> None:
        self._executor, self._journals = executor, journals
        self._lobby, self._bounds, self._clock, self._observers = queue, limits, clock, observers
        self._recall, self._context = load_history, context
        self._home = HubThread()
        self._live: dict[str, ActiveRun] = {}
        self._working: dict[str, ActiveRun] = {}  # those whose work holds something, also when they have ended
        self._settled = Wakeup()
        self._patience = True
        self.draining = False

    def start(self, order: RunRequest) -> Journal:
        """Start a run, or give the one that was started under the same claim.

        Raises:
            Conflict: the claim's key was used for another request.
            Overloaded: every place is taken.
            ShuttingDown: this process is shutting down.
            Unavailable: what keeps the runs is out of reach, or who would answer.
        """
        owner = order.query.principal.subject
        ticket = Reservation(
            owner, order.backend.name, order.query.conversation_id if order.continues_conversation else None
        )
        try:
            self._enter(ticket, order.backend)
        except (Overloaded, ShuttingDown, Unavailable):
            # What runs already takes no place.
            if (
                order.idempotency_key is not None
                and (known := self._journals.find_by_key(owner, order.idempotency_key)) is not None
            ):
                return known
            raise
        try:
            journal, is_new = self._journals.create(self._accept(order), order.idempotency_key)
        except BaseException:  # whatever it is, the place is given back
            self._leave(ticket)
            raise
        run_id = run_terms(journal).run_id
        current_run_id.set(run_id)
        if not is_new:
            self._leave(ticket)
            return journal
        # In a context of its own: what is set there belongs to this run, and not to the connection's next request.
        context = self._context()
        context.run(self.notify, run_id, RunStarted(order))
        live = ActiveRun(journal, order.grace, self._observers, partial(self._let_go, ticket))
        self._live[live.run_id] = live
        live.notify_started()
        begin = partial(context.run, self._begin, ticket, live, order)
        # What was said before is looked up, which may take its time.
        self._lobby.submit(ticket, live, partial(gevent.spawn, begin) if order.continues_conversation else begin)
        return journal

    def find(self, run_id: str, owner: str | None) -> Journal:
        """Give a run of this owner's as it is at this moment; of anybody's, when ``owner`` is ``None``.

        Raises:
            NotFound: there is none, for this owner.
            Gone: it is past its retention.
            Unavailable: what keeps the runs is out of reach.
        """
        return _check_owner(self._journals.find(run_id), owner)

    def follow(self, run_id: str, owner: str | None) -> Journal:
        """Give a run that goes on growing. Otherwise as ``find``."""
        return _check_owner(self._journals.follow(run_id), owner)

    def list_for_owner(self, owner: str, before: str | None, limit: int) -> tuple[Sequence[Journal], str | None]:
        """Give an owner's newest runs older than run ``before``, and the ``before`` of the next page, if any."""
        page = self._journals.list_for_owner(owner, before, limit + 1)
        following = run_terms(page[limit - 1]).run_id if len(page) > limit else None
        return page[:limit], following

    def subscribe(self, journal: Journal) -> Callable[[], None]:
        """Count a reader in, and give what counts it out; call that once."""
        live = self._live.get(run_terms(journal).run_id)
        if live is None:  # ended: nothing depends on its readers any more
            return lambda: None
        live.add_subscriber()
        return live.remove_subscriber

    def notify(self, run_id: str, note: Notification) -> None:
        """Tell the observers what happened around a run."""
        for observer in self._observers:
            observer.on_notification(run_id, note)

    def cancel(self, journal: Journal) -> None:
        """End a run, if it has not ended, and wait a moment until that shows."""
        if live := self._live.get(run_terms(journal).run_id):
            live.finish(Failed("cancelled"))
        else:
            journal.append(Failed("cancelled"))
        wait_until_finished(journal, self._clock, _MOMENT)

    def stop_accepting(self) -> None:
        """Start nothing any more."""
        self.draining = True

    def drain(self, seconds: float) -> None:
        """Start nothing any more, wait for what runs, and after ``seconds`` end what is left with ``draining``."""
        self.stop_accepting()
        until = self._clock() + seconds
        while self._live and self._patience and self._clock() < until:
            self._settled.wait(until - self._clock())
        for live in list(self._live.values()):
            live.finish(Failed("draining"))
        until = self._clock() + _MOMENT  # for what keeps the endings
        while self._live and self._clock() < until:
            self._settled.wait(until - self._clock())

    def unavailable_services(self) -> Sequence[str]:
        """Name what is needed for runs and is out of reach."""
        return self._journals.unavailable_services()

    def close(self) -> None:
        """Let go of what keeps the runs."""
        self._journals.close()

    @property
    def is_shared(self) -> bool:
        """Whether other processes can read them, and go on when this one stops."""
        return self._journals.is_shared

    def abort_drain(self) -> None:
        """Have ``drain`` wait no longer."""
        self._patience = False
        self._settled.set()

    def has_orphaned_task(self, run_id: str) -> bool:
        """Whether this process still works for a run that has ended, because its work cannot be stopped, or does not.

        Work that stops when it is told to has a second for it.
        """
        live = self._working.get(run_id)
        if live is None or not live.ended:
            return False
        return live.is_orphaned or self._clock() > live.journal.entries[-1].at + _TO_STOP

    @property
    def active_count(self) -> int:
        """How many runs have not ended."""
        return len(self._live)

    def _enter(self, ticket: Reservation, backend: Backend) -> None:
        if self.draining:
            raise ShuttingDown("The server is shutting down: try again in a moment", retry_after=2)
        if rest := backend.retry_after():
            seconds = math.ceil(rest)
            raise Unavailable(f"What answers here is out of reach: try again in {seconds} s", retry_after=seconds)
        self._lobby.reserve(ticket)

    def _leave(self, ticket: Reservation) -> None:
        self._lobby.finish(ticket)
        self._lobby.release(ticket)

    def _begin(self, ticket: Reservation, live: ActiveRun, order: RunRequest) -> None:
        release = partial(self._release, ticket, live.run_id)
        query = order.query
        try:
            if order.continues_conversation and not live.ended:
                query = self._recall(query)
        except Unavailable as error:
            logger.warning("what was said before cannot be looked up: %s", error, extra={"run_id": live.run_id})
            live.finish(Failed("internal"))
        if live.ended:
            release()
            return
        self._working[live.run_id] = live
        live.start(
            query,
            order.backend,
            self._executor(order.backend),
            self._bounds.max_answer_bytes,
            self._clock,
            self._home,
            on_release=release,
            history_tokens=count_tokens(turn.content for turn in query.history) if order.continues_conversation else 0,
        )

    def _release(self, ticket: Reservation, run_id: str) -> None:
        self._working.pop(run_id, None)
        self._lobby.release(ticket)

    def _let_go(self, ticket: Reservation, live: ActiveRun) -> None:
        del self._live[live.run_id]
        self._lobby.finish(ticket)
        self._settled.set()

    def _accept(self, order: RunRequest) -> Accepted:
        query = order.query
        return Accepted(
            run_id=new_run_id(self._clock()),
            owner=query.principal.subject,
            username=query.username,
            conversation_id=query.conversation_id,
            style=order.style,
            chunking=order.chunking,
            locale=query.locale,
            reasoning=order.reasoning,
            deadline=self._bounds.deadline,
            resume_for=self._bounds.retention,
            question_tokens=query_tokens(query),
        )


def wait_until_finished(
    journal: Journal,
    clock: Clock,
    seconds: float = math.inf,
    should_stop: Callable[[], bool] = lambda: False,
    poll_interval: float = math.inf,
) -> None:
    """Wait until a run has ended, the time is over, or the caller ``gives_up``, which is asked now and then.

    It is asked at every fact, and ``every`` so many seconds.
    """
    alarm = Wakeup()
    until = clock() + seconds
    journal.subscribe(alarm.set)
    try:
        while not has_ended(journal) and not should_stop() and (left := until - clock()) > 0:
            alarm.wait(min(left, poll_interval))
    finally:
        journal.unsubscribe(alarm.set)


def _check_owner(journal: Journal, owner: str | None) -> Journal:
    if owner is not None and run_terms(journal).owner != owner:
        raise NotFound("There is no such run")
    current_run_id.set(run_terms(journal).run_id)  # from here on the caller is busy with it
    return journal

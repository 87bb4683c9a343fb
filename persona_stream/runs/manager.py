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
from persona_stream.concurrency import Alarm, Home
from persona_stream.core import run_id as runid
from persona_stream.core.clock import Clock
from persona_stream.core.facts import Accepted, Failed
from persona_stream.core.query import Query
from persona_stream.core.usage import tokens, tokens_of
from persona_stream.errors import Busy, Draining, NotFound, Unavailable
from persona_stream.executors.base import Executor
from persona_stream.journals.base import Journal, Journals, has_ended, terms
from persona_stream.logging import current_run
from persona_stream.runs.observer import Began, Note, Observer
from persona_stream.runs.queue import Lobby, Ticket
from persona_stream.runs.request import Order
from persona_stream.runs.run import Live

logger = logging.getLogger("persona_stream.runs")

_MOMENT = 2.0  # seconds
_TO_STOP = 1.0  # second


class Bounds(Struct, frozen=True):
    """Hold the operator's bounds: deadline and retention in seconds, the answer's size in bytes."""

    deadline: float
    retention: float
    max_answer_bytes: int


class Runs:
    """Keep the runs of this process."""

    def __init__(
        self,
        *,
        executor: Callable[[Backend], Executor],
        journals: Journals,
        lobby: Lobby,
        bounds: Bounds,
        clock: Clock,
        observers: Sequence[Observer] = (),
        recall: Callable[[Query], Query] = lambda query: query,
        context: Callable[[], Context] = copy_context,
    ) -> None:
        self._executor, self._journals = executor, journals
        self._lobby, self._bounds, self._clock, self._observers = lobby, bounds, clock, observers
        self._recall, self._context = recall, context
        self._home = Home()
        self._live: dict[str, Live] = {}
        self._working: dict[str, Live] = {}  # those whose work holds something, also when they have ended
        self._settled = Alarm()
        self._patience = True
        self.draining = False

    def start(self, order: Order) -> Journal:
        """Start a run, or give the one that was started under the same claim.

        Raises:
            Conflict: the claim's key was used for another request.
            Busy: every place is taken.
            Draining: this process is shutting down.
            Unavailable: what keeps the runs is out of reach, or who would answer.
        """
        owner = order.query.principal.subject
        ticket = Ticket(owner, order.backend.name, order.query.conversation_id if order.continues else None)
        try:
            self._enter(ticket, order.backend)
        except (Busy, Draining, Unavailable):
            # What runs already takes no place.
            if order.claim is not None and (known := self._journals.claimed(owner, order.claim)) is not None:
                return known
            raise
        try:
            journal, is_new = self._journals.begin(self._accept(order), order.claim)
        except BaseException:  # whatever it is, the place is given back
            self._leave(ticket)
            raise
        run_id = terms(journal).run_id
        current_run.set(run_id)
        if not is_new:
            self._leave(ticket)
            return journal
        # In a context of its own: what is set there belongs to this run, and not to the connection's next request.
        context = self._context()
        context.run(self.note, run_id, Began(order))
        live = Live(journal, order.grace, self._observers, partial(self._let_go, ticket))
        self._live[live.run_id] = live
        live.watch()
        begin = partial(context.run, self._begin, ticket, live, order)
        # What was said before is looked up, which may take its time.
        self._lobby.receive(ticket, live, partial(gevent.spawn, begin) if order.continues else begin)
        return journal

    def find(self, run_id: str, owner: str | None) -> Journal:
        """Give a run of this owner's as it is at this moment; of anybody's, when ``owner`` is ``None``.

        Raises:
            NotFound: there is none, for this owner.
            Gone: it is past its retention.
            Unavailable: what keeps the runs is out of reach.
        """
        return _owned(self._journals.find(run_id), owner)

    def follow(self, run_id: str, owner: str | None) -> Journal:
        """Give a run that goes on growing. Otherwise as ``find``."""
        return _owned(self._journals.follow(run_id), owner)

    def of_owner(self, owner: str, before: str | None, limit: int) -> tuple[Sequence[Journal], str | None]:
        """Give an owner's newest runs older than run ``before``, and the ``before`` of the next page, if any."""
        page = self._journals.of_owner(owner, before, limit + 1)
        following = terms(page[limit - 1]).run_id if len(page) > limit else None
        return page[:limit], following

    def join(self, journal: Journal) -> Callable[[], None]:
        """Count a reader in, and give what counts it out; call that once."""
        live = self._live.get(terms(journal).run_id)
        if live is None:  # ended: nothing depends on its readers any more
            return lambda: None
        live.joined()
        return live.left

    def note(self, run_id: str, note: Note) -> None:
        """Tell the observers what happened around a run."""
        for observer in self._observers:
            observer.note(run_id, note)

    def cancel(self, journal: Journal) -> None:
        """End a run, if it has not ended, and wait a moment until that shows."""
        if live := self._live.get(terms(journal).run_id):
            live.end(Failed("cancelled"))
        else:
            journal.append(Failed("cancelled"))
        wait_for_ending(journal, self._clock, _MOMENT)

    def stop_starting(self) -> None:
        """Start nothing any more."""
        self.draining = True

    def drain(self, seconds: float) -> None:
        """Start nothing any more, wait for what runs, and after ``seconds`` end what is left with ``draining``."""
        self.stop_starting()
        until = self._clock() + seconds
        while self._live and self._patience and self._clock() < until:
            self._settled.sleep(until - self._clock())
        for live in list(self._live.values()):
            live.end(Failed("draining"))
        until = self._clock() + _MOMENT  # for what keeps the endings
        while self._live and self._clock() < until:
            self._settled.sleep(until - self._clock())

    def missing(self) -> Sequence[str]:
        """Name what is needed for runs and is out of reach."""
        return self._journals.missing()

    def close(self) -> None:
        """Let go of what keeps the runs."""
        self._journals.close()

    @property
    def are_shared(self) -> bool:
        """Whether other processes can read them, and go on when this one stops."""
        return self._journals.are_shared

    def hurry(self) -> None:
        """Have ``drain`` wait no longer."""
        self._patience = False
        self._settled.ring()

    def is_left_working(self, run_id: str) -> bool:
        """Whether this process still works for a run that has ended, because its work cannot be stopped, or does not.

        Work that stops when it is told to has a second for it.
        """
        live = self._working.get(run_id)
        if live is None or not live.ended:
            return False
        return live.goes_on or self._clock() > live.journal.entries[-1].at + _TO_STOP

    @property
    def under_way(self) -> int:
        """How many runs have not ended."""
        return len(self._live)

    def _enter(self, ticket: Ticket, backend: Backend) -> None:
        if self.draining:
            raise Draining("The server is shutting down: try again in a moment", retry_after=2)
        if rest := backend.rest():
            seconds = math.ceil(rest)
            raise Unavailable(f"What answers here is out of reach: try again in {seconds} s", retry_after=seconds)
        self._lobby.enter(ticket)

    def _leave(self, ticket: Ticket) -> None:
        self._lobby.over(ticket)
        self._lobby.release(ticket)

    def _begin(self, ticket: Ticket, live: Live, order: Order) -> None:
        release = partial(self._release, ticket, live.run_id)
        query = order.query
        try:
            if order.continues and not live.ended:
                query = self._recall(query)
        except Unavailable as error:
            logger.warning("what was said before cannot be looked up: %s", error, extra={"run_id": live.run_id})
            live.end(Failed("internal"))
        if live.ended:
            release()
            return
        self._working[live.run_id] = live
        live.begin(
            query,
            order.backend,
            self._executor(order.backend),
            self._bounds.max_answer_bytes,
            self._clock,
            self._home,
            on_release=release,
            history_tokens=tokens(turn.content for turn in query.history) if order.continues else 0,
        )

    def _release(self, ticket: Ticket, run_id: str) -> None:
        self._working.pop(run_id, None)
        self._lobby.release(ticket)

    def _let_go(self, ticket: Ticket, live: Live) -> None:
        del self._live[live.run_id]
        self._lobby.over(ticket)
        self._settled.ring()

    def _accept(self, order: Order) -> Accepted:
        query = order.query
        return Accepted(
            run_id=runid.new(self._clock()),
            owner=query.principal.subject,
            username=query.username,
            conversation_id=query.conversation_id,
            style=order.style,
            chunking=order.chunking,
            locale=query.locale,
            reasoning=order.reasoning,
            deadline=self._bounds.deadline,
            resume_for=self._bounds.retention,
            question_tokens=tokens_of(query),
        )


def wait_for_ending(
    journal: Journal,
    clock: Clock,
    seconds: float = math.inf,
    gives_up: Callable[[], bool] = lambda: False,
    every: float = math.inf,
) -> None:
    """Wait until a run has ended, the time is over, or the caller ``gives_up``, which is asked now and then.

    It is asked at every fact, and ``every`` so many seconds.
    """
    alarm = Alarm()
    until = clock() + seconds
    journal.listen(alarm.ring)
    try:
        while not has_ended(journal) and not gives_up() and (left := until - clock()) > 0:
            alarm.sleep(min(left, every))
    finally:
        journal.unlisten(alarm.ring)


def _owned(journal: Journal, owner: str | None) -> Journal:
    if owner is not None and terms(journal).owner != owner:
        raise NotFound("There is no such run")
    current_run.set(terms(journal).run_id)  # from here on the caller is busy with it
    return journal

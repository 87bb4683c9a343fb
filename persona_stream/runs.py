"""Runs: start one, find it, read it, cancel it. A run outlives the connection that started it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from persona_stream import runid
from persona_stream.backends import Backend
from persona_stream.clock import Clock
from persona_stream.errors import Busy, Draining, NotFound
from persona_stream.executors import Executor
from persona_stream.facts import Accepted, Failed
from persona_stream.hub import Alarm, Home
from persona_stream.journals import Claim, Journal, Journals, has_ended, terms
from persona_stream.live import Live
from persona_stream.observers import Observer
from persona_stream.places import Places
from persona_stream.query import Query
from persona_stream.usage import tokens_of

_MOMENT = 2.0  # seconds


class Order(Struct, frozen=True):
    """Say what is to be run, and on what terms.

    Attributes:
        query: the question; ``query.principal`` will own the run.
        style, chunking, reasoning: how it is read, unless a reader wishes otherwise.
        grace: seconds that it lives on after its last reader left; ``None`` for ever.
        claim: the idempotency key, if the caller gave one.
    """

    query: Query
    style: str
    chunking: str
    reasoning: bool = False
    grace: float | None = None
    claim: Claim | None = None


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
        backend: Backend,
        executor: Executor,
        journals: Journals,
        places: Places,
        bounds: Bounds,
        clock: Clock,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._backend, self._executor, self._journals = backend, executor, journals
        self._places, self._bounds, self._clock, self._observers = places, bounds, clock, observers
        self._home = Home()
        self._live: dict[str, Live] = {}
        self._settled = Alarm()
        self._patience = True
        self.draining = False

    def start(self, order: Order) -> Journal:
        """Start a run, or give the one that was started under the same claim.

        Raises:
            Conflict: the claim's key was used for another request.
            Busy: every place is taken.
            Draining: this process is shutting down.
            Unavailable: what keeps the runs is out of reach.
        """
        owner = order.query.principal.subject
        try:
            self._take_place(owner)
        except (Busy, Draining):
            # What runs already takes no place.
            if order.claim is not None and (known := self._journals.claimed(owner, order.claim)) is not None:
                return known
            raise
        try:
            journal, is_new = self._journals.begin(self._accept(order), order.claim)
        except BaseException:  # whatever it is, the place is given back
            self._places.free(owner)
            raise
        if not is_new:
            self._places.free(owner)
            return journal
        live = Live(journal, order.grace, self._observers, self._let_go)
        self._live[live.run_id] = live
        live.begin(
            order.query,
            self._backend,
            self._executor,
            self._bounds.max_answer_bytes,
            self._clock,
            self._home,
            on_release=lambda: self._places.free(owner),
        )
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

    def cancel(self, journal: Journal) -> None:
        """End a run, if it has not ended, and wait a moment until that shows."""
        if live := self._live.get(terms(journal).run_id):
            live.end(Failed("cancelled"))
        else:
            journal.append(Failed("cancelled"))
        until = self._clock() + _MOMENT
        wait_for_ending(journal, lambda: self._clock() >= until, every=_MOMENT)

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

    @property
    def under_way(self) -> int:
        """How many runs have not ended."""
        return len(self._live)

    def _take_place(self, owner: str) -> None:
        if self.draining:
            raise Draining("The server is shutting down: try again in a moment", retry_after=2)
        self._places.take(owner)

    def _let_go(self, live: Live) -> None:
        del self._live[live.run_id]
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


def wait_for_ending(journal: Journal, gives_up: Callable[[], bool], every: float) -> None:
    """Wait until a run has ended, or until ``gives_up``, which is asked every so many seconds and at each fact."""
    alarm = Alarm()
    journal.listen(alarm.ring)
    try:
        while not has_ended(journal) and not gives_up():
            alarm.sleep(every)
    finally:
        journal.unlisten(alarm.ring)


def _owned(journal: Journal, owner: str | None) -> Journal:
    if owner is not None and terms(journal).owner != owner:
        raise NotFound("There is no such run")
    return journal

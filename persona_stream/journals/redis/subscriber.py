"""Follow runs that other processes run: hear of each new fact, and read what was not heard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gevent
from gevent.event import Event
from redis.connection import ConnectionPool

from persona_stream.core.clock import Clock
from persona_stream.core.facts import has_ended
from persona_stream.errors import HTTPError, Unavailable
from persona_stream.journals.redis import keys
from persona_stream.journals.redis.connection import RedisConnection
from persona_stream.journals.redis.journal import RedisJournal
from persona_stream.journals.redis.pubsub import PubSub

_AGAIN = 0.25  # seconds between attempts while Redis is out of reach
_MOST = 200  # journals, and facts of one, that are read in one go


def facts_of(items: Iterable[Sequence[Any]]) -> list[bytes]:
    """Give the facts of what ``XRANGE`` gives."""
    return [fields[1] for _, fields in items]


class JournalSubscriber:
    """Keep the journals of this process up to date with what others write.

    ``on_missing`` is called with those that this process runs, and Redis has not. Of others that Redis has not, it is
    waited ``patience`` seconds that their process brings them back, and ``patience_away`` for Redis itself.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        line: RedisConnection,
        inbox: str,
        clock: Clock,
        patience: float,
        patience_away: float,
        on_lost: Callable[[Sequence[RedisJournal]], None],
    ) -> None:
        self._line, self._clock, self._on_missing = line, clock, on_lost
        self._patience, self._patience_away = patience, patience_away
        self._news = PubSub(pool, inbox, self._on_message, self._refresh_all)
        self._journals: dict[str, RedisJournal] = {}
        self._opening: dict[str, Event] = {}
        self._overheard: set[str] = set()  # runs that something was said about while they were opened
        self._unheard: set[str] = set()  # at the last look: runs that nobody here listened to
        self._behind: dict[str, RedisJournal] = {}
        self._work = Event()
        self._away_since: float | None = None

    def start(self) -> None:
        """Begin."""
        self._news.start()
        self._greenlet = gevent.spawn(self._serve)

    def stop(self) -> None:
        """Follow nothing any more."""
        self._greenlet.kill()
        self._news.stop()

    @property
    def is_away(self) -> bool:
        """Whether nothing can be heard at the moment."""
        return self._news.is_away

    @property
    def local_runs(self) -> list[RedisJournal]:
        """The journals of the runs that this process runs, and that have not ended."""
        return [journal for journal in self._journals.values() if journal.runs_here and not has_ended(journal.entries)]

    def track(self, journal: RedisJournal) -> None:
        """Keep the journal of a run up to date that this process runs."""
        self._journals[journal.run_id] = journal

    def tracked(self, run_id: str) -> RedisJournal | None:
        """Give a journal that is kept up to date, if it is. One with an ending is not: what Redis keeps counts."""
        journal = self._journals.get(run_id)
        return None if journal is None or has_ended(journal.entries) else journal

    def follow(self, run_id: str, read: Callable[[], RedisJournal]) -> RedisJournal:
        """Give a journal, and keep it up to date as long as somebody listens to it.

        Raises:
            Unavailable: Redis is out of reach.
            HTTPError: whatever ``read`` raises.
        """
        while (opening := self._opening.get(run_id)) is not None:
            opening.wait()
        if (known := self.tracked(run_id)) is not None:
            self._unheard.discard(run_id)
            return known
        self._opening[run_id] = Event()
        try:
            # Listen first, then read: what is written between the two is heard.
            self._news.subscribe(keys.news(run_id))
            journal = self._journals[run_id] = read()
        except HTTPError:
            self._news.unsubscribe([keys.news(run_id)])
            raise
        finally:
            self._opening.pop(run_id).set()
        if run_id in self._overheard:
            self._overheard.discard(run_id)
            self.refresh([journal])
        return journal

    def untrack(self, journal: RedisJournal) -> None:
        """Follow a run no more that nobody here listens to: whoever asks for its readers must not find us."""
        if not (journal.runs_here or has_ended(journal.entries)):
            gevent.spawn(self._drop, [journal])

    def refresh(self, journals: Iterable[RedisJournal]) -> None:
        """Read what these may have missed, soon."""
        for journal in journals:
            self._behind[journal.run_id] = journal
        self._work.set()

    def sweep(self) -> None:
        """Let go of what nobody needs, and of what nobody will ever hear of again. Called every few seconds."""
        self._drop([j for run_id in self._unheard if (j := self._journals.get(run_id)) and not _is_needed(j)])
        self._unheard = {run_id for run_id, journal in self._journals.items() if not _is_needed(journal)}
        now = self._clock()
        self._away_since = (self._away_since or now) if self.is_away else None
        for journal in list(self._journals.values()):
            if has_ended(journal.entries) or journal.runs_here:
                continue
            waits = [(self._away_since, self._patience_away), (journal.missing_since, self._patience)]
            if any(since is not None and since + patience < now for since, patience in waits):
                journal.mark_lost()
            elif journal.missing_since is not None:
                self.refresh([journal])

    def _drop(self, journals: Sequence[RedisJournal]) -> None:
        dropped = [j for j in journals if not j.has_listeners and self._journals.get(j.run_id) is j]
        for journal in dropped:
            del self._journals[journal.run_id]
        self._news.unsubscribe([keys.news(journal.run_id) for journal in dropped])

    def _on_message(self, message: bytes) -> None:
        run, number, *entry = message.split(b" ", 2)
        run_id, index = run.decode(), int(number)
        journal = self._journals.get(run_id)
        if journal is None:
            if run_id in self._opening:
                self._overheard.add(run_id)
        elif entry and index <= len(journal.entries):
            journal.apply(index, entry)
        else:
            self.refresh([journal])

    def _refresh_all(self) -> None:
        self.refresh(journal for journal in self._journals.values() if not has_ended(journal.entries))

    def _serve(self) -> None:
        while True:
            self._work.wait()
            self._work.clear()
            journals = [self._behind.pop(run_id) for run_id in list(self._behind)[:_MOST]]
            if not self._read([journal for journal in journals if not has_ended(journal.entries)]):
                gevent.sleep(_AGAIN)
            if self._behind:
                self._work.set()

    def _read(self, journals: Sequence[RedisJournal]) -> bool:
        """Read once what these may have missed; ``False`` when Redis did not give all of it."""
        # From the last fact that is known: where even that is missing, Redis has lost the run.
        known = [len(journal.entries) for journal in journals]
        replies = self._line.execute_many(
            ("XRANGE", keys.facts(journal.run_id), f"0-{count}", "+", "COUNT", _MOST)
            for journal, count in zip(journals, known, strict=True)
        )
        missing = []
        all_given = True
        for journal, count, reply in zip(journals, known, replies, strict=True):
            if isinstance(reply, Unavailable):
                all_given = False
                self._behind[journal.run_id] = journal
            elif reply:
                journal.missing_since = None
                journal.apply(count - 1, facts_of(reply))
                if len(reply) == _MOST:
                    self._behind[journal.run_id] = journal
            elif journal.runs_here:
                missing.append(journal)
            elif journal.missing_since is None:
                journal.missing_since = self._clock()
        if missing:
            self._on_missing(missing)
        return all_given


def _is_needed(journal: RedisJournal) -> bool:
    return journal.has_listeners or (journal.runs_here and not has_ended(journal.entries))

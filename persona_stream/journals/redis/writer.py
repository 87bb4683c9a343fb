"""Write what journals offer: all that is offered at the same time in one go, and again until Redis has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import gevent
from gevent.event import Event

from persona_stream.core.clock import Clock
from persona_stream.errors import Unavailable
from persona_stream.journals.redis.connection import RedisConnection
from persona_stream.journals.redis.journal import RedisJournal
from persona_stream.journals.redis.scripts import APPEND, BEGIN, Commands

_AGAIN = 0.25  # seconds between attempts while Redis is out of reach
_MOST = 200  # journals in one go, so that one does not wait for thousands


class JournalWriter:
    """Bring facts to Redis.

    A journal's facts go in their order. What is sent a second time, because no reply came, is recognized by its
    place and its content, and stands once.
    """

    def __init__(
        self, line: RedisConnection, commands: Commands, clock: Clock, may_restore: Callable[[], bool]
    ) -> None:
        self._line, self._commands, self._clock, self._may_restore = line, commands, clock, may_restore
        self._offering: dict[str, RedisJournal] = {}
        self._work = Event()

    def start(self) -> None:
        """Begin to write."""
        self._greenlet = gevent.spawn(self._serve)

    def stop(self) -> None:
        """Do nothing any more."""
        self._greenlet.kill()

    def enqueue(self, journal: RedisJournal) -> None:
        """Write what this journal offers, soon."""
        self._offering[journal.run_id] = journal
        self._work.set()

    def restore(self, journals: Sequence[RedisJournal]) -> None:
        """Bring back journals that Redis has lost, as far as what is here may still be the truth."""
        if not self._may_restore():
            # We were away for so long that they may have been ended, kept their time, and gone.
            for journal in journals:
                journal.mark_lost()
            return
        replies = self._line.run_script_many(
            BEGIN, [self._commands.begin(journal, joins=False) for journal in journals]
        )
        for journal, reply in zip(journals, replies, strict=True):
            if isinstance(reply, Unavailable) or journal.pending:
                self.enqueue(journal)

    def _serve(self) -> None:
        while True:
            self._work.wait()
            self._work.clear()
            batch = [self._offering.pop(run_id) for run_id in list(self._offering)[:_MOST]]
            if not self._write([journal for journal in batch if journal.pending]):
                gevent.sleep(_AGAIN)
            if self._offering:
                self._work.set()

    def _write(self, journals: Sequence[RedisJournal]) -> bool:
        """Write once what these offer; ``False`` when Redis did not take all of it."""
        sent = [(len(journal.entries), journal.pending) for journal in journals]
        replies = self._line.run_script_many(APPEND, [self._commands.append(journal) for journal in journals])
        missing = []
        all_taken = True
        for journal, (known, offered), reply in zip(journals, sent, replies, strict=True):
            if isinstance(reply, Unavailable):
                all_taken = False
                self._expire(journal)
            elif reply[0] == b"written":
                journal.apply(known, offered)
            elif reply[0] == b"behind":
                journal.apply(known, reply[1:])
            elif journal.runs_here:
                missing.append(journal)
            else:
                journal.mark_lost()
            if journal.pending:
                self.enqueue(journal)
        if missing:
            self.restore(missing)
        return all_taken

    def _expire(self, journal: RedisJournal) -> None:
        since = journal.waiting_since
        if since is not None and since + self._commands.retention < self._clock():
            journal.mark_lost()

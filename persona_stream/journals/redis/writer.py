"""Writer that brings the pending facts of all journals to Redis, in batches, until Redis has stored them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from persona_stream.core.clock import Clock
from persona_stream.errors import Unavailable
from persona_stream.journals.redis.connection import RedisConnection
from persona_stream.journals.redis.journal import JournalQueue, RedisJournal
from persona_stream.journals.redis.scripts import APPEND, BEGIN, ScriptCalls


class JournalWriter(JournalQueue):
    """Batch writer of facts.

    Invariants:
        The facts of a journal are written in their order.
        A fact that is sent again, because no reply arrived, is recognized by its index and content and stored once.
    """

    def __init__(
        self, connection: RedisConnection, calls: ScriptCalls, clock: Clock, can_restore: Callable[[], bool]
    ) -> None:
        super().__init__(self._write)
        self._connection = connection
        self._calls = calls
        self._clock = clock
        self._can_restore = can_restore

    def restore(self, journals: Sequence[RedisJournal]) -> None:
        """Write journals again that Redis has lost; mark them lost if they may have ended and expired meanwhile."""
        if not self._can_restore():
            for journal in journals:
                journal.mark_lost()
            return
        calls = [self._calls.begin(journal, joins=False) for journal in journals]
        for journal, reply in zip(journals, self._connection.run_script_many(BEGIN, calls), strict=True):
            if isinstance(reply, Unavailable) or journal.pending:
                self.put(journal)

    def _write(self, journals: Sequence[RedisJournal]) -> bool:
        """Write the pending facts of the journals once; return ``False`` if Redis did not accept all of them."""
        journals = [journal for journal in journals if journal.pending]
        sent = [(len(journal.entries), journal.pending) for journal in journals]
        replies = self._connection.run_script_many(APPEND, [self._calls.append(journal) for journal in journals])
        missing = []
        all_accepted = True
        for journal, (known, pending), reply in zip(journals, sent, replies, strict=True):
            if isinstance(reply, Unavailable):
                all_accepted = False
                if (since := journal.pending_since) is not None and since + self._calls.retention < self._clock():
                    journal.mark_lost()
            elif reply[0] == b"written":
                journal.apply(known, pending)
            elif reply[0] == b"behind":
                journal.apply(known, reply[1:])
            elif journal.is_local:
                missing.append(journal)
            else:
                journal.mark_lost()
            if journal.pending:
                self.put(journal)
        if missing:
            self.restore(missing)
        return all_accepted

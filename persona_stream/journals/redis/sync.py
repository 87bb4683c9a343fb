"""Synchronization of this process with Redis: the writer of pending facts, the subscriber of others', and the lease.

The lease is a heartbeat that other processes check, so that the runs of a dead process end.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gevent
from gevent.event import Event
from redis.connection import ConnectionPool

from persona_stream.core.clock import Clock
from persona_stream.core.facts import has_ended
from persona_stream.errors import HTTPError, NotFound, Unavailable
from persona_stream.journals.base import RUN_NOT_FOUND_MESSAGE
from persona_stream.journals.redis import keys, scripts
from persona_stream.journals.redis.connection import PubSub, RedisConnection
from persona_stream.journals.redis.journal import JournalQueue, RedisJournal

logger = logging.getLogger("persona_stream.redis")

_MAX_FACTS_PER_READ = 200
_LEASE_RETRY_DELAY = 0.5  # seconds


def encoded_facts(items: Iterable[Sequence[Any]]) -> list[bytes]:
    """Return the encoded facts of a reply to ``XRANGE``."""
    return [fields[1] for _, fields in items]


class JournalWriter(JournalQueue):
    """Batch writer of facts.

    Invariants:
        The facts of a journal are written in their order.
        A fact that is sent again, because no reply arrived, is recognized by its index and content and stored once.
    """

    def __init__(
        self, connection: RedisConnection, calls: scripts.ScriptCalls, clock: Clock, can_restore: Callable[[], bool]
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
        for journal, reply in zip(journals, self._connection.run_script_many(scripts.BEGIN, calls), strict=True):
            if isinstance(reply, Unavailable) or journal.pending:
                self.put(journal)

    def _write(self, journals: Sequence[RedisJournal]) -> bool:
        """Write the pending facts of the journals once; return ``False`` if Redis did not accept all of them."""
        journals = [journal for journal in journals if journal.pending]
        sent = [(len(journal.entries), journal.pending) for journal in journals]
        calls = [self._calls.append(journal) for journal in journals]
        replies = self._connection.run_script_many(scripts.APPEND, calls)
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


class JournalSubscriber:
    """Registry of the tracked journals: those of local runs and those that are followed.

    The writer restores local journals that Redis has lost. A followed run is marked lost when Redis lacks it for the
    length of a lease, or is unavailable for the retention period.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        connection: RedisConnection,
        calls: scripts.ScriptCalls,
        clock: Clock,
        writer: JournalWriter,
    ) -> None:
        self._connection = connection
        self._calls = calls
        self._clock = clock
        self._writer = writer
        self._pubsub = PubSub(pool, keys.inbox(calls.process), self._on_message, self._refresh_all)
        self._journals: dict[str, RedisJournal] = {}
        self._opening: dict[str, Event] = {}
        self._changed_while_opening: set[str] = set()
        self._unneeded: set[str] = set()  # at the last sweep
        self._stale = JournalQueue(self._read)
        self._unavailable_since: float | None = None
        # Called with the run and an encoded call to a provider by its worker.
        self.on_call: Callable[[str, bytes], None] = lambda run_id, call: None

    def start(self) -> None:
        """Start receiving and reading facts."""
        self._pubsub.start()
        self._stale.start()

    def stop(self) -> None:
        """Stop receiving and reading facts."""
        self._stale.stop()
        self._pubsub.stop()

    @property
    def is_unavailable(self) -> bool:
        """Whether no messages can be received."""
        return self._pubsub.is_unavailable

    @property
    def local_runs(self) -> list[RedisJournal]:
        """Journals of the unfinished runs that this process executes."""
        return [journal for journal in self._journals.values() if journal.is_local and not has_ended(journal.entries)]

    def track(self, journal: RedisJournal) -> None:
        """Register the journal of a local run for updates."""
        self._journals[journal.run_id] = journal

    def tracked(self, run_id: str) -> RedisJournal | None:
        """Return a tracked journal, unless it has ended: then Redis decides whether it still exists."""
        journal = self._journals.get(run_id)
        return None if journal is None or has_ended(journal.entries) else journal

    def follow(self, run_id: str, read: Callable[[], RedisJournal]) -> RedisJournal:
        """Return a journal and keep it up to date as long as it has listeners. Raise the errors of ``read``."""
        while (opening := self._opening.get(run_id)) is not None:
            opening.wait()
        if (known := self.tracked(run_id)) is not None:
            self._unneeded.discard(run_id)
            return known
        self._opening[run_id] = Event()
        try:
            # Subscribed before reading, so that facts written in between arrive as messages.
            self._pubsub.subscribe(keys.of_run(run_id, "news"))
            journal = self._journals[run_id] = read()
        except HTTPError:
            self._pubsub.unsubscribe([keys.of_run(run_id, "news")])
            raise
        finally:
            self._opening.pop(run_id).set()
        if run_id in self._changed_while_opening:
            self._changed_while_opening.discard(run_id)
            self.refresh([journal])
        return journal

    def untrack(self, journal: RedisJournal) -> None:
        """Stop following a journal without listeners, so that other processes no longer count this subscription."""
        if not (journal.is_local or has_ended(journal.entries)):
            gevent.spawn(self._drop, [journal])

    def hand_over(self, run_id: str) -> RedisJournal:
        """Follow a local run that another process will execute.

        Raises:
            NotFound: the run is not tracked.
            Unavailable: Redis is unavailable.
        """
        if (journal := self._journals.get(run_id)) is None:
            raise NotFound(RUN_NOT_FOUND_MESSAGE)
        self._pubsub.subscribe(keys.of_run(run_id, "news"))
        journal.is_local = False
        return journal

    def refresh(self, journals: Iterable[RedisJournal]) -> None:
        """Schedule journals for reading the facts that they may lack."""
        for journal in journals:
            self._stale.put(journal)

    def sweep(self) -> None:
        """Drop unneeded journals and end those that can no longer be read; called at each renewal of the lease."""
        self._drop([j for run_id in self._unneeded if (j := self._journals.get(run_id)) and not _is_needed(j)])
        self._unneeded = {run_id for run_id, journal in self._journals.items() if not _is_needed(journal)}
        now = self._clock()
        self._unavailable_since = (self._unavailable_since or now) if self.is_unavailable else None
        for journal in list(self._journals.values()):
            if has_ended(journal.entries) or journal.is_local:
                continue
            limits = ((self._unavailable_since, self._calls.retention), (journal.missing_since, self._calls.lease))
            if any(since is not None and since + timeout < now for since, timeout in limits):
                journal.mark_lost()
            elif journal.missing_since is not None:
                self.refresh([journal])

    def _drop(self, journals: Sequence[RedisJournal]) -> None:
        dropped = [j for j in journals if not j.has_listeners and self._journals.get(j.run_id) is j]
        for journal in dropped:
            del self._journals[journal.run_id]
        self._pubsub.unsubscribe([keys.of_run(journal.run_id, "news") for journal in dropped])

    def _on_message(self, message: bytes) -> None:
        run, number, *entry = message.split(b" ", 2)
        run_id = run.decode()
        if number == keys.CALL:
            self.on_call(run_id, entry[0])
            return
        index = int(number)
        journal = self._journals.get(run_id)
        if journal is None:
            if run_id in self._opening:
                self._changed_while_opening.add(run_id)
        elif entry and index <= len(journal.entries):
            journal.apply(index, entry)
        else:
            self.refresh([journal])

    def _refresh_all(self) -> None:
        self.refresh(journal for journal in self._journals.values() if not has_ended(journal.entries))

    def _read(self, journals: Sequence[RedisJournal]) -> bool:
        """Read the facts that the journals may lack; return ``False`` if a reply is missing."""
        journals = [journal for journal in journals if not has_ended(journal.entries)]
        # Each read starts at the last known fact: if Redis lacks even that one, it has lost the run.
        known = [len(journal.entries) for journal in journals]
        replies = self._connection.execute_many(
            ("XRANGE", keys.facts(journal.run_id), f"0-{count}", "+", "COUNT", _MAX_FACTS_PER_READ)
            for journal, count in zip(journals, known, strict=True)
        )
        lost = []
        is_complete = True
        for journal, count, reply in zip(journals, known, replies, strict=True):
            if isinstance(reply, Unavailable):
                is_complete = False
                self._stale.put(journal)
            elif reply:
                journal.missing_since = None
                journal.apply(count - 1, encoded_facts(reply))
                if len(reply) == _MAX_FACTS_PER_READ:
                    self._stale.put(journal)
            elif journal.is_local:
                lost.append(journal)
            elif journal.missing_since is None:
                journal.missing_since = self._clock()
        if lost:
            self._writer.restore(lost)
        return is_complete


class Lease:
    """Lease that is renewed periodically, together with ending the runs of processes that stopped renewing theirs.

    ``on_renewed`` is called after each renewal with the number of runs that Redis has of this process, ``on_attempt``
    after each attempt, also a failed one. Both may wait.
    """

    def __init__(
        self,
        connection: RedisConnection,
        calls: scripts.ScriptCalls,
        clock: Clock,
        *,
        on_renewed: Callable[[int], None],
        on_attempt: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._calls = calls
        self._clock = clock
        self._on_renewed = on_renewed
        self._on_attempt = on_attempt
        self._is_registered = False
        self.renewed_at = clock()
        self.process_count = 1  # at the last renewal, with this one

    def start(self) -> None:
        """Start the greenlet that renews the lease."""
        self._greenlet = gevent.spawn(self._serve)

    def stop(self) -> None:
        """Stop renewing the lease."""
        self._greenlet.kill()

    def leave(self) -> None:
        """Return the lease: this process executes no run any more."""
        try:
            self._connection.run_script(scripts.LEAVE, *self._calls.leave())
        except Unavailable:
            logger.info("cannot return the lease; it will expire")

    def _serve(self) -> None:
        while True:
            began = self._clock()
            try:
                self._on_renewed(self._renew())
            except Unavailable:
                delay = _LEASE_RETRY_DELAY  # the connection has logged the reason
            else:
                delay = self._calls.renewal_interval
                self.renewed_at = self._clock()
            self._on_attempt()
            gevent.sleep(max(0.0, began + delay - self._clock()))

    def _renew(self) -> int:
        while True:
            reply = self._connection.run_script(scripts.RENEW, *self._calls.renew())
            is_known, ended_count, has_more, run_count, self.process_count = reply
            if ended_count:
                logger.warning("ended %d runs of a dead process", ended_count)
            if self._is_registered and not is_known:
                logger.warning("Redis did not know this process: checking its runs")
            self._is_registered = True
            if not has_more:
                return int(run_count)


def _is_needed(journal: RedisJournal) -> bool:
    return journal.has_listeners or (journal.is_local and not has_ended(journal.entries))

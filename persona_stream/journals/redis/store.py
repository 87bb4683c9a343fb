"""Journals in Redis: any process on any machine reads, follows and cancels any run, and none is lost with its process.

    line       one connection for all that is asked
    news       one connection for what is heard
    journal    one run's facts, as far as they are known here
    writer     brings facts to Redis
    following  brings facts from Redis
    lease      says that this process lives, and ends the runs of the dead
    roll_call  compares what this process runs with what Redis has it run
    commands   what is asked, in the words of the scripts in ``lua/``

A fact counts when Redis has it, so that the first ending wins whoever writes it, and no reader anywhere has seen
what then did not happen. While Redis is out of reach the facts of this process wait here.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from persona_stream.core.clock import Clock
from persona_stream.core.facts import Accepted, Entry, Failed
from persona_stream.errors import Conflict, Gone, NotFound, Unavailable
from persona_stream.journals.base import KEY_CONFLICT_MESSAGE, IdempotencyKey, Journal, not_found_error
from persona_stream.journals.redis import keys
from persona_stream.journals.redis.connection import RedisConnection, UnknownOutcome, connection_pool
from persona_stream.journals.redis.journal import RedisJournal, decode_entries
from persona_stream.journals.redis.lease import Lease, Reconciler
from persona_stream.journals.redis.scripts import BEGIN, Commands
from persona_stream.journals.redis.subscriber import JournalSubscriber, facts_of
from persona_stream.journals.redis.writer import JournalWriter

_READ = 500  # facts in one go


class RedisJournalStore:
    """Keep runs in Redis."""

    is_shared = True

    def __init__(self, url: str, clock: Clock, *, lease: float, retention: float, retention_bytes: int) -> None:
        pool = connection_pool(url)
        process = secrets.token_hex(8)
        self._clock, self._retention = clock, retention
        self._secret: str | None = None
        self._commands = Commands(process, lease, retention, retention_bytes)
        self._line = RedisConnection(pool)
        self._writer = JournalWriter(self._line, self._commands, clock, self._may_restore)
        self._following = JournalSubscriber(
            pool, self._line, keys.inbox(process), clock, lease, retention, on_lost=self._writer.restore
        )
        self._lease = Lease(
            self._line,
            self._commands,
            clock,
            on_forgotten=lambda: self._following.refresh(self._following.local_runs),
            on_renewed=Reconciler(self._line, self._following, keys.runs(process), self._read).reconcile,
            on_renewal=self._following.sweep,
        )
        self._parts = (self._lease, self._writer, self._following, self._line)  # the line last: the others use it
        for part in reversed(self._parts):
            part.start()

    # What is asked of all kinds of journals.

    @property
    def process_count(self) -> int:
        return self._lease.processes

    def create(self, accepted: Accepted, claim: IdempotencyKey | None) -> tuple[Journal, bool]:
        journal = self._journal(accepted.run_id, [Entry(self._clock(), accepted)], claim, runs_here=True)
        try:
            reply = self._line.run_script(
                BEGIN, *self._commands.begin(journal, joins=claim is not None and claim.joins)
            )
        except UnknownOutcome:
            # Perhaps it was begun all the same: nobody runs it, so it must end, or a retry would join it for ever.
            journal.runs_here = False
            journal.append(Failed("lost"))
            raise
        match reply:
            case [b"known", run_id]:
                try:
                    return self.follow(run_id.decode()), False
                except (NotFound, Gone):  # its time ran out between the two: then the claim holds nothing
                    return self.create(accepted, claim)
            case [b"conflict"]:
                raise Conflict(KEY_CONFLICT_MESSAGE)
        self._following.track(journal)
        return journal, True

    def find_by_key(self, owner: str, claim: IdempotencyKey) -> Journal | None:
        if not claim.joins:
            return None
        run_id, fingerprint = self._line.execute("HMGET", keys.claim(owner, claim.key), "run", "fingerprint")
        if run_id is None or not self._line.execute("EXISTS", keys.facts(run_id.decode())):
            return None
        if fingerprint.decode() != claim.fingerprint:
            raise Conflict(KEY_CONFLICT_MESSAGE)
        return self.follow(run_id.decode())

    def find(self, run_id: str) -> Journal:
        return self._following.tracked(run_id) or self._read(run_id)

    def follow(self, run_id: str) -> Journal:
        return self._following.follow(run_id, lambda: self._read(run_id))

    def list_for_owner(self, owner: str, before: str | None, limit: int) -> Sequence[Journal]:
        journals: list[Journal] = []
        newest = "+" if before is None else f"({before}"
        while len(journals) < limit:
            wanted = limit - len(journals)
            names = self._line.execute("ZREVRANGEBYLEX", keys.owner(owner), newest, "-", "LIMIT", 0, wanted)
            if not names:
                break
            replies = self._line.execute_many(("XRANGE", keys.facts(name.decode()), "-", "+") for name in names)
            for name, reply in zip(names, replies, strict=True):
                if isinstance(reply, Unavailable):
                    raise reply
                if reply:  # else it has expired, or was trimmed
                    journals.append(self._journal(name.decode(), decode_entries(facts_of(reply))))
            newest = f"({names[-1].decode()}"
        return journals

    def secret(self) -> str:
        if self._secret is None:
            self._line.execute("SET", keys.SECRET, secrets.token_urlsafe(32), "NX")
            self._secret = self._line.execute("GET", keys.SECRET).decode()
        return self._secret

    def unavailable_services(self) -> Sequence[str]:
        try:
            self._line.execute("PING")
        except Unavailable:
            return ("redis",)
        return ()

    def close(self) -> None:
        if not self._following.local_runs:
            self._lease.leave()
        for part in self._parts:
            part.stop()

    # What a journal asks of its keeper.

    @property
    def is_unavailable(self) -> bool:
        """Whether Redis is out of reach."""
        return self._line.is_away or self._following.is_away

    def enqueue(self, journal: RedisJournal) -> None:
        """Write what it offers, soon."""
        self._writer.enqueue(journal)

    def untrack(self, journal: RedisJournal) -> None:
        """See that nobody here listens to it any more."""
        self._following.untrack(journal)

    def has_remote_subscribers(self, run_id: str) -> bool:
        """Tell whether other processes follow it."""
        try:
            _, count = self._line.execute("PUBSUB", "NUMSUB", keys.news(run_id))
        except Unavailable:
            return True  # nobody knows, and a run that somebody reads must not be stopped
        return int(count) > 0

    def facts_from(self, run_id: str, index: int) -> list[bytes]:
        """Give what Redis has of a run, from fact ``index`` on."""
        encoded: list[bytes] = []
        while True:
            first = f"0-{index + len(encoded) + 1}"
            items = self._line.execute("XRANGE", keys.facts(run_id), first, "+", "COUNT", _READ)
            encoded += facts_of(items)
            if len(items) < _READ:
                return encoded

    def _may_restore(self) -> bool:
        # What we ran may have been ended by others a lease after they last heard of us, and is kept for the
        # retention from then on: missing before that, it was lost, and not forgotten.
        return self._clock() < self._lease.renewed_at + self._retention

    def _read(self, run_id: str) -> RedisJournal:
        encoded = self.facts_from(run_id, 0)
        if not encoded:
            trimmed = bool(self._line.execute("EXISTS", keys.gone(run_id)))
            raise not_found_error(run_id, trimmed, self._retention, self._clock())
        return self._journal(run_id, decode_entries(encoded))

    def _journal(
        self, run_id: str, entries: list[Entry], claim: IdempotencyKey | None = None, *, runs_here: bool = False
    ) -> RedisJournal:
        return RedisJournal(run_id, entries, self, self._clock, claim, runs_here=runs_here)

"""Store of journals in Redis: any process on any machine can read, follow and cancel any run.

The store owns the parts of this package: one connection for commands, one for pub/sub, the writer of pending facts, the
subscriber that keeps local journals up to date, and the lease of this process.

Invariants:
    A fact counts once Redis has stored it, so the first final fact wins regardless of the writer, and no subscriber
    receives a fact that is lost later. While Redis is unavailable, the facts of this process wait in memory.
    When a process dies, the others end its runs.
"""

import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from persona_stream.backends.base import WorkerDescription
from persona_stream.core.clock import Clock
from persona_stream.core.facts import Accepted, Entry, Failed, run_terms
from persona_stream.core.forecast import FinishedRun
from persona_stream.core.run_id import timestamp_of
from persona_stream.errors import Conflict, Gone, NotFound, Unavailable
from persona_stream.journals.base import (
    KEY_CONFLICT_MESSAGE,
    RUN_NOT_FOUND_MESSAGE,
    IdempotencyKey,
    Journal,
    not_found_error,
)
from persona_stream.journals.redis import keys, scripts, sync
from persona_stream.journals.redis.answers import RedisAnswerStore
from persona_stream.journals.redis.connection import (
    COMMAND_TIMEOUT,
    Command,
    RedisConnection,
    UnknownOutcome,
    connection_pool,
)
from persona_stream.journals.redis.journal import RedisJournal, decode_entries

_decode_finished_run = msgspec.json.Decoder(FinishedRun).decode
_decode_description = msgspec.json.Decoder(WorkerDescription).decode

logger = logging.getLogger("persona_stream.redis")

_MAX_FACTS_PER_READ = 500
_MIN_ORPHAN_AGE = 2 * COMMAND_TIMEOUT  # seconds; a younger run may be in the middle of its creation


class RedisJournalStore:
    """Journal store in Redis, and the ``JournalBackend`` of its journals."""

    is_shared = True

    def __init__(self, url: str, clock: Clock, *, lease: float, retention: float, retention_bytes: int) -> None:
        pool = connection_pool(url)
        self._clock = clock
        self._retention = retention
        self._secret: str | None = None
        self._durations_read: dict[str, bytes] = {}  # the last entry of each backend's history
        self._calls = scripts.ScriptCalls(secrets.token_hex(8), lease, retention, retention_bytes)
        self._connection = RedisConnection(pool)
        self.answers = RedisAnswerStore(self._connection)
        self._writer = sync.JournalWriter(self._connection, self._calls, clock, self._can_restore)
        self._subscriber = sync.JournalSubscriber(pool, self._connection, self._calls, clock, self._writer)
        self._lease = sync.Lease(
            self._connection, self._calls, clock, on_renewed=self._reconcile, on_attempt=self._subscriber.sweep
        )
        # The connection is started first and stopped last, because the others use it.
        self._parts = (self._lease, self._writer, self._subscriber, self._connection)
        for part in reversed(self._parts):
            part.start()

    @property
    def process_count(self) -> int:
        """Number of processes that share the store."""
        return self._lease.process_count

    def create(self, accepted: Accepted, idempotency_key: IdempotencyKey | None) -> tuple[Journal, bool]:
        """Create a journal, or return the one that holds the idempotency key."""
        entries = [Entry(self._clock(), accepted)]
        journal = self._journal(accepted.run_id, entries, idempotency_key, is_local=True)
        joins = idempotency_key is not None and idempotency_key.joins
        try:
            reply = self._connection.run_script(scripts.BEGIN, *self._calls.begin(journal, joins=joins))
        except UnknownOutcome:
            # The run may have been created, but no process executes it: it must end, or a retry would wait for it.
            journal.is_local = False
            journal.append(Failed("lost"))
            raise
        match reply:
            case [b"known", run_id]:
                try:
                    return self.follow(run_id.decode()), False
                except (NotFound, Gone):  # it expired between the two commands, and released the key
                    return self.create(accepted, idempotency_key)
            case [b"conflict"]:
                raise Conflict(KEY_CONFLICT_MESSAGE)
        self._subscriber.track(journal)
        return journal, True

    def find_by_key(self, owner: str, idempotency_key: IdempotencyKey) -> Journal | None:
        """Return the journal that holds the idempotency key, if any."""
        if not idempotency_key.joins:
            return None
        claim = keys.claim(owner, idempotency_key.key)
        run_id, fingerprint = self._connection.execute("HMGET", claim, "run", "fingerprint")
        if run_id is None or not self._connection.execute("EXISTS", keys.facts(run_id.decode())):
            return None
        if fingerprint.decode() != idempotency_key.fingerprint:
            raise Conflict(KEY_CONFLICT_MESSAGE)
        return self.follow(run_id.decode())

    def find(self, run_id: str) -> Journal:
        """Return a journal as of now."""
        return self._subscriber.tracked(run_id) or self._read(run_id)

    def follow(self, run_id: str) -> Journal:
        """Return a journal that keeps growing."""
        return self._subscriber.follow(run_id, lambda: self._read(run_id))

    def list_for_owner(self, owner: str, before: str | None, limit: int) -> Sequence[Journal]:
        """Return an owner's journals, newest first."""
        journals: list[Journal] = []
        newest = "+" if before is None else f"({before}"
        while len(journals) < limit:
            remaining = limit - len(journals)
            found = self._connection.execute("ZREVRANGEBYLEX", keys.owner(owner), newest, "-", "LIMIT", 0, remaining)
            if not found:
                break
            run_ids = [run_id.decode() for run_id in found]
            replies = self._connection.execute_many(("XRANGE", keys.facts(run_id), "-", "+") for run_id in run_ids)
            for run_id, reply in zip(run_ids, replies, strict=True):
                if isinstance(reply, Unavailable):
                    raise reply
                if reply:  # otherwise it has expired or was evicted
                    journals.append(self._journal(run_id, decode_entries(sync.encoded_facts(reply))))
            newest = f"({run_ids[-1]}"
        return journals

    def delete(self, journal: Journal) -> None:
        """Delete the journal of a run that has ended."""
        run = run_terms(journal.entries)
        self._connection.run_script(scripts.DELETE, *self._calls.delete(run.run_id, run.owner))

    def hand_over(self, run_id: str, seconds: float) -> RedisJournal:
        """Offer a run of this process to the workers, and return its journal, which keeps growing.

        The run fails unless a worker takes it within ``seconds``.

        Raises:
            Unavailable: Redis is unavailable.
            NotFound: this process does not execute the run.
        """
        journal = self._subscriber.hand_over(run_id)
        if not self._connection.run_script(scripts.HAND_OVER, *self._calls.hand_over(run_id, seconds)):
            raise NotFound(RUN_NOT_FOUND_MESSAGE)
        return journal

    def is_offered(self, run_id: str) -> bool:
        """Return whether a run is offered, and no worker has taken it; raise ``Unavailable`` if Redis is."""
        [score] = self._execute_all([("ZSCORE", keys.OFFERED, run_id)])
        return score is not None

    @property
    def process(self) -> str:
        """Id of this process."""
        return self._calls.process

    def on_call(self, handler: Callable[[str, bytes], None]) -> None:
        """Call a function with the run and the encoded value of each call to a provider that a worker reports."""
        self._subscriber.on_call = handler

    def workers(self) -> Sequence[WorkerDescription]:
        """Return the workers that have renewed their lease; raise ``Unavailable`` if Redis is."""
        described, scores = self._execute_all(
            [("HGETALL", keys.WORKERS), ("ZRANGE", keys.PROCESSES, 0, -1, "WITHSCORES")]
        )
        seen = dict(zip(scores[::2], map(float, scores[1::2]), strict=True))
        since = (self._clock() - self._calls.lease) * 1000
        alive = {
            process.decode(): (seen[process] / 1000, text)
            for process, text in zip(described[::2], described[1::2], strict=True)
            if seen.get(process, 0.0) > since
        }
        counts = self._execute_all([("SCARD", keys.runs(process)) for process in alive])
        return [
            msgspec.structs.replace(_decode_description(text), seen_at=seen_at, running=count)
            for (seen_at, text), count in zip(alive.values(), counts, strict=True)
        ]

    def _execute_all(self, commands: Sequence[Command]) -> list[Any]:
        replies = self._connection.execute_many(commands)
        for reply in replies:
            if isinstance(reply, Unavailable):
                raise reply
        return replies

    def new_durations(self) -> Sequence[tuple[str, FinishedRun]]:
        """Return the runs of all processes since the last call, each with its backend."""
        fields = self._connection.execute("HGETALL", keys.DURATIONS)
        newest = {name.decode(): entry for name, entry in zip(fields[::2], fields[1::2], strict=True)}
        changed = [name for name, entry in newest.items() if entry != self._durations_read.get(name)]
        found = []
        for name in changed:
            after = self._durations_read.get(name, b"0")
            for _, items in self._connection.execute("XREAD", "STREAMS", keys.durations(name), after) or ():
                self._durations_read[name] = items[-1][0]
                found += [(name, _decode_finished_run(encoded)) for encoded in sync.encoded_facts(items)]
        return found

    def secret(self) -> str:
        """Return the secret that all processes of this Redis share."""
        if self._secret is None:
            self._connection.execute("SET", keys.SECRET, secrets.token_urlsafe(32), "NX")
            self._secret = self._connection.execute("GET", keys.SECRET).decode()
        return self._secret

    def unavailable_services(self) -> Sequence[str]:
        """Return the names of required services that are unavailable."""
        try:
            self._connection.execute("PING")
        except Unavailable:
            return ("redis",)
        return ("redis",) if self._connection.rejects_writes else ()

    def close(self) -> None:
        """Return the lease, unless runs are unfinished, and close the connections."""
        if not self._subscriber.local_runs:
            self._lease.leave()
        for part in self._parts:
            part.stop()

    @property
    def is_unavailable(self) -> bool:
        """Whether Redis is unavailable."""
        return self._connection.is_unavailable or self._subscriber.is_unavailable

    def untrack(self, journal: RedisJournal) -> None:
        """Stop following a journal without listeners."""
        self._subscriber.untrack(journal)

    def has_remote_subscribers(self, run_id: str) -> bool:
        """Return whether other processes follow the run."""
        try:
            _, count = self._connection.execute("PUBSUB", "NUMSUB", keys.of_run(run_id, "news"))
        except Unavailable:
            return True  # a run that may have subscribers must not be cancelled
        return int(count) > 0

    def load_facts(self, run_id: str, first: int) -> list[bytes]:
        """Return the stored facts of a run from index ``first`` on, encoded."""
        encoded: list[bytes] = []
        while True:
            start = f"0-{first + len(encoded) + 1}"
            items = self._connection.execute("XRANGE", keys.facts(run_id), start, "+", "COUNT", _MAX_FACTS_PER_READ)
            encoded += sync.encoded_facts(items)
            if len(items) < _MAX_FACTS_PER_READ:
                return encoded

    def _reconcile(self, run_count: int) -> None:
        """Restore the runs that Redis lacks and end those that this process does not execute, if the counts differ.

        A replica that lags behind at a failover lacks the latest runs and the ends of others. The lease alone would
        neither restore the former nor end the latter, and the comparison of the counts costs no command.
        """
        if run_count == len(self._subscriber.local_runs):
            return
        runs_key = keys.runs(self._calls.process)
        stored = {run_id.decode() for run_id in self._connection.execute("SMEMBERS", runs_key)}
        local = {journal.run_id: journal for journal in self._subscriber.local_runs}
        self._subscriber.refresh(journal for run_id, journal in local.items() if run_id not in stored)
        for run_id in stored - local.keys():
            if (timestamp_of(run_id) or 0.0) + _MIN_ORPHAN_AGE > self._clock():
                continue
            logger.warning("Redis has a run that no process executes: ending it", extra={"run_id": run_id})
            try:
                has_ended = not self._read(run_id).append(Failed("lost"))
            except (NotFound, Gone):
                has_ended = True
            if has_ended:
                self._connection.execute("SREM", runs_key, run_id)

    def _can_restore(self) -> bool:
        # Other processes end the runs of this one at the earliest a lease after its last renewal, and keep them for the
        # retention period: a run that is missing before that was lost, and did not expire.
        return self._clock() < self._lease.renewed_at + self._retention

    def _read(self, run_id: str) -> RedisJournal:
        encoded = self.load_facts(run_id, 0)
        if not encoded:
            was_evicted = bool(self._connection.execute("EXISTS", keys.of_run(run_id, "gone")))
            raise not_found_error(run_id, was_evicted, self._retention, self._clock())
        return self._journal(run_id, decode_entries(encoded))

    def _journal(
        self, run_id: str, entries: list[Entry], key: IdempotencyKey | None = None, *, is_local: bool = False
    ) -> RedisJournal:
        return RedisJournal(run_id, entries, self, self._writer, self._clock, key, is_local=is_local)

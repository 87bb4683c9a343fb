"""Journals of the runs that a worker executes. A worker may be unpatched: this module imports no gevent.

A worker takes a run that a server offers, appends its facts, and holds a lease, like a server.

Invariants:
    A fact counts once Redis has stored it; the first final fact wins, whichever process appends it.
    Facts wait in memory while Redis is unavailable.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from persona_stream.backends.base import WorkerDescription
from persona_stream.core import coalescing, facts
from persona_stream.core.content import ProviderFields
from persona_stream.core.query import InputRequest
from persona_stream.journals.redis import keys, scripts

logger = logging.getLogger("persona_stream.redis")

WRITE_INTERVAL = 0.05  # seconds between two writes
RETRY_DELAY = 0.25  # seconds
TAKE_TIMEOUT = 10.0  # seconds
SOCKET_TIMEOUT = 5.0  # seconds
MESSAGE_TIMEOUT = 1.0  # second


class WorkerJournal:
    """Journal of one run of this worker. Any thread may append; deltas and reports are coalesced until the next write.

    Attributes:
        server: the process that records the calls to providers.
        known: the number of facts that Redis is known to have.
        pending: the facts that are being written, encoded.
        is_complete: whether the last of them is final. These three belong to the writing thread.
        is_behind: whether another process has appended facts.
        calls: the encoded calls to providers that are not sent yet.
        sent_bytes: the size of the deltas.
    """

    def __init__(self, run_id: str, server: str, known: int, max_bytes: int, wake_writer: Callable[..., None]) -> None:
        """Create the journal of a run with ``known`` facts; an answer over ``max_bytes`` fails."""
        self.run_id = run_id
        self.server = server
        self.known = known
        self.pending: list[bytes] = []
        self.is_complete = False
        self.is_behind = False
        self.calls: list[bytes] = []
        self.sent_bytes = 0
        self._max_bytes = max_bytes
        self._wake_writer = wake_writer
        self._lock = threading.Lock()
        self._parts: list[coalescing.Part] = []
        self._report: facts.ProgressReported | None = None
        self._inputs: list[facts.InputRequested | facts.InputClosed] = []  # to be written
        self._open_inputs: set[str] = set()
        self._on_answer: Callable[[str, str | None], None] | None = None
        self._final: Sequence[facts.Fact] = ()
        self._is_stopped = False
        self._on_stop: Callable[[], None] | None = None

    @property
    def is_ending(self) -> bool:
        """Whether a final fact is appended."""
        return bool(self._final)

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Call a function when the run ends otherwise than by its query; at once, if it has."""
        with self._lock:
            self._on_stop = callback
            is_stopped = self._is_stopped
        if is_stopped:
            callback()

    def stop(self) -> None:
        """Handle an end of the run otherwise than by its query."""
        with self._lock:
            self._is_stopped = True
            callback = self._on_stop
        if callback is not None:
            callback()

    def add(self, delta_type: coalescing.DeltaType, part: str | ProviderFields) -> None:
        """Append the next part of the answer, of the reasoning, or of the provider's message.

        With an answer over the size limit the run fails.
        """
        encoded = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else msgspec.json.encode(part)
        with self._lock:
            if self.is_ending or self._is_stopped or not part:
                return
            self._parts.append((delta_type, part))
            self.sent_bytes += len(encoded)
            if is_too_large := self.sent_bytes > self._max_bytes:
                self._parts.clear()
                self._final = (facts.Failed("answer_too_large"),)
        self._wake_writer(is_urgent=is_too_large)
        if is_too_large:
            self.stop()

    def on_answer(self, callback: Callable[[str, str | None], None]) -> None:
        """Call a function with the id of each question that is closed, and its answer."""
        self._on_answer = callback

    def ask(self, request: InputRequest) -> None:
        """Append a question to the user."""
        self._append_input(facts.InputRequested(request))

    def expire_input(self, input_id: str) -> None:
        """Append the timeout of a question, if it is open."""
        if input_id in self._open_inputs:
            self._append_input(facts.InputClosed(input_id))

    def _append_input(self, fact: facts.InputRequested | facts.InputClosed) -> None:
        with self._lock:
            self._inputs.append(fact)
            if isinstance(fact, facts.InputRequested) and not fact.request.is_refused:
                self._open_inputs.add(fact.request.input_id)
        self._wake_writer(is_urgent=True)

    def apply_stored(self, entries: Sequence[bytes]) -> None:
        """Handle facts that Redis has stored, of any process, in their order: the first answer to a question counts."""
        for entry in entries if self._open_inputs else ():
            fact = scripts.decode_entry(entry).fact
            if isinstance(fact, facts.InputClosed) and fact.input_id in self._open_inputs:
                self._open_inputs.discard(fact.input_id)
                if self._on_answer is not None:
                    self._on_answer(fact.input_id, fact.value)

    def add_call(self, call: bytes) -> None:
        """Send an encoded call to a provider with the next write; it is lost if Redis is unavailable."""
        self.calls.append(call)
        self._wake_writer()

    def report(self, message: str, fraction: float | None) -> None:
        """Append a progress report. An empty message, or no fraction, keeps that of the one before."""
        with self._lock:
            self._report = coalescing.merge_reports(self._report, message, fraction)
        self._wake_writer()

    def finish(self, final: Sequence[facts.Fact]) -> None:
        """Append the final facts, unless there are some."""
        with self._lock:
            self._final = self._final or final
        self._wake_writer(is_urgent=True)

    def collect(self, now: float) -> bool:
        """Move what was appended to ``pending``; return whether anything is pending."""
        with self._lock:
            if not self.is_complete:
                deltas, self._parts = coalescing.coalesce_deltas(self._parts, is_last=self.is_ending)
                collected = [*deltas, *([self._report] if self._report else ()), *self._inputs, *self._final]
                self._report = None
                self._inputs.clear()
                self.is_complete = self.is_ending
                self.pending += [scripts.encode_entry(facts.Entry(now, fact)) for fact in collected]
        return bool(self.pending)


class WorkerJournalStore:
    """Runs, lease and inbox of one worker process.

    Its threads write facts, renew the lease, and listen for the ends that other processes append.
    """

    def __init__(self, url: str, *, lease: float, retention: float, retention_bytes: int) -> None:
        self.process = secrets.token_hex(8)
        # One retry, at once, since an idle connection may have been closed. The default backs off for seconds, in which
        # the lease would expire; the threads of this class repeat what failed by themselves.
        self._client: Any = redis.Redis.from_url(
            url, socket_timeout=SOCKET_TIMEOUT, socket_keepalive=True, retry=Retry(NoBackoff(), 1)
        )
        self._calls = scripts.ScriptCalls(self.process, lease, retention, retention_bytes)
        self._journals: dict[str, WorkerJournal] = {}
        self._has_facts = threading.Event()
        self._is_urgent = threading.Event()  # a run has ended
        self._is_stopped = threading.Event()
        self._description: bytes = b""
        self._unknown: set[str] = set()  # at the last renewal

    def start(self, description: WorkerDescription) -> None:
        """Announce this worker, and start its threads."""
        self._description = msgspec.json.encode(description)
        for target in (self._write_facts, self._renew_lease, self._listen):
            threading.Thread(target=target, name=f"persona_stream {target.__name__}", daemon=True).start()

    def stop(self) -> None:
        """Write what is pending, and return the lease."""
        self.flush()
        self._is_stopped.set()
        with suppress(redis.RedisError):
            self._run(scripts.LEAVE, self._calls.leave())

    def take(self, run_id: str, server: str, started: facts.Started | None, max_bytes: int) -> WorkerJournal | None:
        """Take a run that ``server`` offers; ``None`` if it has ended, or if another worker has it.

        Waits for some seconds while Redis is unavailable.
        """
        entry = b"" if started is None else scripts.encode_entry(facts.Entry(time.time(), started))
        call = self._calls.take(run_id, secrets.token_hex(8), entry)
        until = time.monotonic() + TAKE_TIMEOUT
        while True:
            try:
                known = int(self._run(scripts.TAKE, call))
                break
            except redis.RedisError as error:
                logger.warning("cannot take a run: %s", error, extra={"run_id": run_id})
                if time.monotonic() > until:
                    return None
                time.sleep(RETRY_DELAY)
        if not known:
            return None
        journal = self._journals[run_id] = WorkerJournal(run_id, server, known, max_bytes, self._wake)
        return journal

    def flush(self, seconds: float = SOCKET_TIMEOUT) -> None:
        """Wait until the ends of all runs are written, for some seconds at most."""
        until = time.monotonic() + seconds
        while any(journal.is_ending for journal in list(self._journals.values())) and time.monotonic() < until:
            time.sleep(WRITE_INTERVAL)

    def _wake(self, *, is_urgent: bool = False) -> None:
        """Write what was appended: soon, or at once."""
        if is_urgent:
            self._is_urgent.set()
        self._has_facts.set()

    def _run(self, script: scripts.Script, call: scripts.Call) -> Any:
        arguments = (len(call[0]), *call[0], *call[1])
        try:
            return self._client.evalsha(script.digest, *arguments)
        except redis.exceptions.NoScriptError:
            return self._client.eval(script.text, *arguments)

    def _write_facts(self) -> None:
        while True:
            self._has_facts.wait()
            self._has_facts.clear()
            delay = WRITE_INTERVAL
            for journal in list(self._journals.values()):
                try:
                    self._write(journal)
                except redis.RedisError as error:
                    logger.warning("cannot write to Redis: %s", error)
                    journal.is_behind = True
                    self._has_facts.set()
                    delay = RETRY_DELAY
            if self._is_urgent.wait(delay):
                self._is_urgent.clear()

    def _write(self, journal: WorkerJournal) -> None:
        while journal.calls:
            message = b" ".join((journal.run_id.encode(), keys.CALL, journal.calls.pop(0)))
            self._client.publish(keys.inbox(journal.server), message)
        was_behind = journal.is_behind
        journal.is_behind = False
        if not (journal.collect(time.time()) or was_behind):
            return
        is_ending = journal.is_complete
        pending = list(journal.pending)
        call = self._calls.append_to(journal.run_id, journal.known, pending, is_ending=is_ending)
        match self._run(scripts.APPEND, call):
            case [b"written"]:
                journal.known += len(pending)
                del journal.pending[: len(pending)]
                journal.apply_stored(pending)
                if is_ending:
                    self._end(journal)
            case [b"behind", *entries]:
                self._apply(journal, entries)
                if journal.pending:
                    self._has_facts.set()
            case _:
                logger.error("Redis has lost the run", extra={"run_id": journal.run_id})
                self._stop(journal)

    def _apply(self, journal: WorkerJournal, entries: Sequence[bytes]) -> None:
        """Apply facts that Redis has: those of this process whose reply was lost, and those of others."""
        journal.apply_stored(entries)
        for entry in entries:
            if journal.pending and journal.pending[0] == entry:
                del journal.pending[0]
                journal.known += 1
            elif facts.is_ending(scripts.decode_entry(entry).fact):
                self._stop(journal)
                return
            else:
                journal.known += 1
        if journal.is_ending and not journal.pending:
            self._end(journal)

    def _end(self, journal: WorkerJournal) -> None:
        journal.pending.clear()
        self._journals.pop(journal.run_id, None)

    def _stop(self, journal: WorkerJournal) -> None:
        """Handle an end that this process has not written."""
        self._end(journal)
        journal.stop()

    def _renew_lease(self) -> None:
        while not self._is_stopped.is_set():
            try:
                reply = self._run(scripts.RENEW, self._calls.renew())
                self._end_unknown_runs(reply[3])
                self._client.hset(keys.WORKERS, self.process, self._description)
            except redis.RedisError as error:
                logger.warning("cannot renew the lease: %s", error)
                self._is_stopped.wait(RETRY_DELAY)
                continue
            self._is_stopped.wait(self._calls.renewal_interval)

    def _end_unknown_runs(self, run_count: int) -> None:
        """End the runs that Redis counts to this process, and that it does not execute, at the second look.

        Redis may have lost the end of a run, or this process the reply with which it took one.
        """
        unknown: set[str] = set()
        if run_count != len(self._journals):
            stored = {run_id.decode() for run_id in self._client.smembers(keys.runs(self.process))}
            unknown = stored - self._journals.keys()
        for run_id in unknown & self._unknown:
            logger.warning("Redis has a run that this process does not execute: ending it", extra={"run_id": run_id})
            if not self._has_ended(run_id):
                known = self._client.xlen(keys.facts(run_id))
                entry = scripts.encode_entry(facts.Entry(time.time(), facts.Failed("lost")))
                self._run(scripts.APPEND, self._calls.append_to(run_id, known, [entry], is_ending=True))
            self._client.srem(keys.runs(self.process), run_id)
        self._unknown = unknown

    def _listen(self) -> None:
        while not self._is_stopped.is_set():
            try:
                with self._client.pubsub(ignore_subscribe_messages=True) as inbox:
                    inbox.subscribe(keys.inbox(self.process))
                    self._check_all()
                    while not self._is_stopped.is_set():
                        message = inbox.get_message(timeout=MESSAGE_TIMEOUT)
                        if message is not None:
                            self._on_message(message["data"])
            except redis.RedisError:
                time.sleep(RETRY_DELAY)

    def _on_message(self, message: bytes) -> None:
        run_id, _, *entry = message.split(b" ", 2)
        if (journal := self._journals.get(run_id.decode())) is None:
            return
        if entry and facts.is_ending(scripts.decode_entry(entry[0]).fact):
            self._stop(journal)
        else:  # an answer, or a fact that was too long for a message
            self._read(journal)

    def _check_all(self) -> None:
        """Look for facts that were appended while there was no connection."""
        for journal in list(self._journals.values()):
            self._read(journal)

    def _read(self, journal: WorkerJournal) -> None:
        """Read the facts that other processes have appended, in the writing thread: they have an order."""
        journal.is_behind = True
        self._wake(is_urgent=True)

    def _has_ended(self, run_id: str) -> bool:
        """Return whether Redis has the end of a run, or has lost the run."""
        items = self._client.xrevrange(keys.facts(run_id), count=1)
        return not items or facts.is_ending(scripts.decode_entry(items[0][1][b"entry"]).fact)

"""Executor that sends queries to Celery workers, and waits for the end that a worker appends to the journal."""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import gevent
import msgspec
from kombu.exceptions import OperationalError

from persona_stream.backends.base import Backend, BackendDescription, WorkerDescription
from persona_stream.concurrency import Wakeup
from persona_stream.core.facts import Failed, has_ended, has_started
from persona_stream.core.query import Query, UpstreamCall
from persona_stream.core.result import WorkerError
from persona_stream.errors import Unavailable
from persona_stream.executors.base import Executor, ExecutorStatistics, TaskCallbacks
from persona_stream.executors.celery import app as celery_app
from persona_stream.executors.greenlet import GreenletTask, run_and_report
from persona_stream.journals.base import Journal
from persona_stream.logging import current_run_id, trace_headers
from persona_stream.settings import Settings

logger = logging.getLogger("persona_stream.executors")

REFRESH_INTERVAL = 2.0  # seconds
REVOKE_DELAY = 1.5  # seconds for a worker to stop a query by itself
RESEND_INTERVAL = 10.0  # seconds until a message that no worker has taken is sent again
RETRY_INTERVAL = 0.5  # seconds between two attempts to reach Redis or the broker
OUTAGE_TIMEOUT = 10.0  # seconds of an outage of Redis or the broker that a query survives
DEADLINE_MARGIN = 30.0  # seconds for a worker to write the end


_decode_call = msgspec.json.Decoder(UpstreamCall).decode


class OfferingStore(Protocol):
    """Store of journals that other processes take over."""

    @property
    def process_count(self) -> int:
        """Number of processes that share the store, servers and workers."""

    @property
    def process(self) -> str:
        """Id of this process."""

    def on_call(self, handler: Callable[[str, bytes], None]) -> None:
        """Call a function with the run and the encoded value of each call to a provider that a worker reports."""

    def hand_over(self, run_id: str, seconds: float) -> Journal:
        """Offer a run of this process to the workers, and return its journal, which keeps growing."""

    def is_offered(self, run_id: str) -> bool:
        """Return whether no worker has taken a run that is offered; raise ``Unavailable`` if the store is."""

    def workers(self) -> Sequence[WorkerDescription]:
        """Return the workers that are alive."""


class CeleryExecutor(Executor):
    """Executor of Celery workers."""

    place = async_place = "on Celery workers"
    outlives_server = True

    def __init__(self, settings: Settings, store: OfferingStore) -> None:
        """Create the executor without connecting to the broker."""
        self.capacity = 0
        self._celery = celery_app.create_app(settings)
        self._store = store
        self._settings = settings
        self._workers: Sequence[WorkerDescription] = ()
        self._on_change: Callable[[], None] = lambda: None
        self._is_closed = False
        self._is_refreshing = False
        self._callbacks: dict[str, TaskCallbacks] = {}
        store.on_call(self._on_call)

    def accepts(self, backend: Backend) -> bool:
        """Return whether the workers have the backend."""
        return backend.spec is not None

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call a function when other workers are there."""
        self._on_change = on_change

    def warm_up(self) -> None:
        """Look for workers, now and periodically."""
        if not self._is_refreshing:
            self._is_refreshing = True
            self._refresh()
            gevent.spawn(self._refresh_periodically)

    def describe(self, name: str) -> BackendDescription | None:
        """Return the description that a worker has announced, if any."""
        for worker in self._workers:
            if name in worker.backends:
                return worker.backends[name]
        return None

    def workers(self) -> Sequence[WorkerDescription]:
        """Return the workers that are alive."""
        return self._workers

    def statistics(self) -> ExecutorStatistics:
        """Return the number of processes of workers."""
        return ExecutorStatistics(len(self._workers))

    def problems(self) -> Sequence[str]:
        """Return that there are no workers, if so."""
        return () if self._workers else ("no Celery worker is running: start one with `persona-stream work`",)

    def submit(self, backend: Backend, query: Query, callbacks: TaskCallbacks) -> GreenletTask:
        """Send the query to the workers."""
        if backend.spec is None:
            raise ValueError(f"{backend.name} exists in this process only")
        message = celery_app.QueryMessage(
            run_id=current_run_id.get(),
            backend=backend.spec.name,
            query=query,
            deadline=query.timeout or self._settings.timeout,
            started=callbacks.started_fact(),
            max_answer_bytes=self._settings.max_answer_bytes,
            trace_headers=dict(trace_headers.get()),
            server=self._store.process,
        )
        return GreenletTask(callbacks, None, run_and_report, self._run, message, callbacks)

    def close(self) -> None:
        """Close the connections to the broker. The workers continue."""
        self._is_closed = True
        self._celery.close()

    def _run(self, message: celery_app.QueryMessage, callbacks: TaskCallbacks) -> object:
        """Send a message, and wait until the run has ended."""
        run_id = message.run_id
        seconds = self._settings.queue_timeout
        journal = self._hand_over(run_id, seconds)
        self._callbacks[run_id] = callbacks
        wakeup = Wakeup()
        journal.subscribe(wakeup.set)
        try:
            until = time.monotonic() + seconds + message.deadline + DEADLINE_MARGIN
            has_news = has_ended if message.started is None else has_started
            reached_at = time.monotonic()  # when the broker was last known to be available
            # A broker that restarts may lose a message. One that is delivered twice starts nothing.
            while self._is_offered(journal, message) and (remaining := until - time.monotonic()) > 0:
                try:
                    self._send(message, seconds)
                except WorkerError:
                    if time.monotonic() - reached_at > OUTAGE_TIMEOUT:
                        raise
                    interval = RETRY_INTERVAL
                else:
                    interval = RESEND_INTERVAL
                    reached_at = time.monotonic() + interval
                wakeup.wait_until(lambda: has_news(journal.entries), min(remaining, interval))
            if not wakeup.wait_until(lambda: has_ended(journal.entries), until - time.monotonic()):
                journal.append(Failed("timeout"))
        finally:
            journal.unsubscribe(wakeup.set)
            del self._callbacks[run_id]
            # Killed: the run has been cancelled. A worker that does not stop the code by itself kills it.
            if has_ended(journal.entries) and isinstance(journal.entries[-1].fact, Failed) and not self._is_closed:
                gevent.spawn_later(REVOKE_DELAY, self._revoke, run_id)
        return ""

    def _on_call(self, run_id: str, call: bytes) -> None:
        if (callbacks := self._callbacks.get(run_id)) is not None:
            try:
                callbacks.on_upstream_call(_decode_call(call))
            except msgspec.DecodeError as error:
                logger.warning("invalid call to a provider: %s", error, extra={"run_id": run_id})

    def _hand_over(self, run_id: str, seconds: float) -> Journal:
        """Offer a run to the workers, also while Redis restarts."""
        fails_at = time.monotonic() + OUTAGE_TIMEOUT
        while True:
            try:
                return self._store.hand_over(run_id, seconds)
            except Unavailable:
                if time.monotonic() > fails_at:
                    raise
            gevent.sleep(RETRY_INTERVAL)

    def _send(self, message: celery_app.QueryMessage, seconds: float) -> None:
        try:
            self._celery.send_task(
                celery_app.TASK,
                args=[celery_app.encode_message(message)],
                queue=celery_app.queue_of(message.backend),
                task_id=message.run_id,
                expires=seconds,
                time_limit=message.deadline + celery_app.HARD_LIMIT_DELAY,
                retry=False,
            )
        except (OperationalError, OSError) as error:
            raise WorkerError(f"the broker is unavailable: {error}") from error

    def _is_offered(self, journal: Journal, message: celery_app.QueryMessage) -> bool:
        """Return whether a worker must take the run yet."""
        if message.started is not None:
            return not has_started(journal.entries)
        if has_ended(journal.entries):
            return False
        try:  # a worker that takes a run which has started before writes no fact
            return self._store.is_offered(message.run_id)
        except Unavailable:
            return True

    def _revoke(self, run_id: str) -> None:
        try:
            self._celery.control.revoke(run_id, terminate=True, signal="SIGKILL")
        except (OperationalError, OSError) as error:
            logger.warning("cannot revoke a run: %s", error, extra={"run_id": run_id})

    def _refresh_periodically(self) -> None:
        while not self._is_closed:
            gevent.sleep(REFRESH_INTERVAL)
            self._refresh()

    def _refresh(self) -> None:
        try:
            workers = self._store.workers()
        except Unavailable:
            return  # the last ones known; the connection has logged the reason
        # Share of this server in the slots of all workers, rounded up.
        servers = max(1, self._store.process_count - len(workers))
        self.capacity = -(-sum(worker.slots for worker in workers) // servers)
        has_changed = _announced(workers) != _announced(self._workers)
        self._workers = workers
        if has_changed:
            logger.info("%d Celery worker processes with %d slots", len(workers), sum(each.slots for each in workers))
            self._on_change()


def _announced(workers: Sequence[WorkerDescription]) -> Collection[tuple[object, ...]]:
    """Return what does not change while the workers are the same."""
    return {(worker.host, worker.pid, worker.slots, tuple(worker.backends.items())) for worker in workers}

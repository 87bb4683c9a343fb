"""Celery worker: imports the backends in each of its processes, and runs queries there. Imports no gevent.

``persona-stream work`` executes Celery with this module, so that Celery itself decides on patching before anything
else is imported: it reads its command line for that. A prefork worker stays unpatched; each of its processes runs one
query at a time and is killed if the code does not stop. The backend is imported after the fork, since CUDA does not
survive one.
"""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import traceback
from typing import Any

import msgspec
from celery import signals

from persona_stream.backends.base import WorkerDescription
from persona_stream.backends.factory import build_backends
from persona_stream.core import facts
from persona_stream.core.content import ProviderFields
from persona_stream.core.query import InputRequest, UpstreamCall
from persona_stream.core.result import TaskResult, check_extras, to_final_facts
from persona_stream.executors.celery import app as celery_app
from persona_stream.executors.worker import main, protocol
from persona_stream.executors.worker.runtime import QueryConnection, RunningQuery
from persona_stream.journals.redis.worker import WorkerJournal, WorkerJournalStore
from persona_stream.logging import configure_logging
from persona_stream.settings import Settings

logger = logging.getLogger("persona_stream.executors")

OPTIONS_VARIABLE = "PERSONA_STREAM_WORK"  # of ``WorkOptions`` as JSON
KILL_DELAY = 1.0  # second for cancelled code to stop
SWITCH_INTERVAL = 0.001  # seconds that code which computes keeps the lease and the inbox waiting


class WorkOptions(msgspec.Struct, frozen=True):
    """Options of ``persona-stream work``."""

    settings: Settings
    pool: str
    concurrency: int
    queues: tuple[str, ...]


def load_options() -> WorkOptions:
    """Return the options that ``persona-stream work`` has put into the environment."""
    return msgspec.json.decode(os.environ[OPTIONS_VARIABLE], type=WorkOptions, dec_hook=_decode_hook)


def _decode_hook(kind: type, value: object) -> Any:
    # The settings of a backend are of any type; others are paths and networks, written as text.
    return value if kind is object else kind(value)


class JournalConnection(QueryConnection):
    """Connection of a query to the journal of its run."""

    __slots__ = ("_backend", "_journal", "_max_bytes")

    def __init__(self, journal: WorkerJournal, backend: str, max_bytes: int) -> None:
        super().__init__()
        self._journal = journal
        self._backend = backend
        self._max_bytes = max_bytes

    def on_progress(self, message: str, fraction: float | None) -> None:
        """Append a progress report."""
        self._journal.report(message, fraction)

    def on_text(self, text: str) -> None:
        """Append a part of the answer."""
        self._journal.add(facts.AnswerDelta, text)

    def on_reasoning(self, text: str) -> None:
        """Append a part of the reasoning."""
        self._journal.add(facts.ReasoningDelta, text)

    def on_extras(self, extras: ProviderFields) -> None:
        """Append fields of the message that a provider streamed."""
        checked, _ = check_extras(extras)
        if checked is not None:
            self._journal.add(facts.ProviderDelta, checked)

    def on_upstream_call(self, call: UpstreamCall) -> None:
        """Send a call to a provider to the server, which records it, unless it is too large."""
        encoded = msgspec.json.encode(protocol.to_json_like_call(call))
        if len(encoded) <= self._max_bytes:
            self._journal.add_call(encoded)

    def send_question(self, request: InputRequest) -> None:
        """Append a question, and at its timeout that it is closed."""
        self._journal.ask(request)
        if request.timeout is not None:
            timer = threading.Timer(request.timeout, self._journal.expire_input, (request.input_id,))
            timer.daemon = True
            timer.start()

    def on_result(self, result: TaskResult) -> None:
        """Append the facts that end the run."""
        self._journal.finish(to_final_facts(result, self._max_bytes, self._journal.sent_bytes, self._backend))


class BackendProcess:
    """One process of a worker: its backends, and the journals of its runs."""

    def __init__(self, options: WorkOptions) -> None:
        """Import the backends, and announce the process."""
        settings = options.settings
        if settings.redis_url is None:
            raise ValueError("a worker needs redis_url")
        self._is_prefork = options.pool == "prefork"
        self._backends = build_backends(settings, None)
        self._store = WorkerJournalStore(
            settings.redis_url,
            lease=settings.lease,
            retention=settings.retention,
            retention_bytes=settings.retention_bytes,
        )
        description = WorkerDescription(
            host=socket.gethostname(),
            pid=os.getpid(),
            pool=options.pool,
            slots=1 if self._is_prefork else options.concurrency,
            queues=options.queues,
            backends={name: each.describe() for name, each in self._backends.items()},
        )
        self._store.start(description)

    def run(self, message: celery_app.QueryMessage) -> None:
        """Run a query, unless its run has ended or another worker has it."""
        if self._is_prefork:
            main.reset_sigterm_in_forks()  # Celery sets its handler after the start of the process
        if (backend := self._backends.get(message.backend)) is None:
            logger.error("the worker has no backend %s", message.backend, extra={"run_id": message.run_id})
            return
        journal = self._store.take(message.run_id, message.server, message.started, message.max_answer_bytes)
        if journal is None:
            return
        connection = JournalConnection(journal, backend.name, message.max_answer_bytes)
        running = RunningQuery(message.run_id, message.trace_headers, connection)
        has_returned = threading.Event()

        def stop() -> None:
            running.cancel()
            if self._is_prefork:
                threading.Thread(target=self._kill_unless_ended, args=(has_returned,), daemon=True).start()

        def expire() -> None:
            journal.finish((facts.Failed("timeout"),))
            stop()

        journal.on_answer(connection.answer)
        journal.on_stop(stop)
        deadline = threading.Timer(message.deadline, expire)
        deadline.daemon = True
        deadline.start()
        try:
            running.run(backend, message.query)
        finally:
            has_returned.set()
            deadline.cancel()

    def stop(self) -> None:
        """Write what is pending, and return the lease."""
        self._store.stop()

    def _kill_unless_ended(self, has_returned: threading.Event) -> None:
        if not has_returned.wait(KILL_DELAY):
            logger.warning("a query does not stop after its cancellation: killing process %d", os.getpid())
            self._store.flush()
            os.kill(os.getpid(), signal.SIGKILL)


options = load_options() if OPTIONS_VARIABLE in os.environ else None
app = None
_process: BackendProcess | None = None


def _start_process(**_: object) -> None:
    """Import the backends in a process that runs queries; end the worker if that fails."""
    global _process
    if options is None:
        raise ValueError(f"{OPTIONS_VARIABLE} is not set: start the worker with `persona-stream work`")
    if options.pool == "prefork":
        main.prepare_process()
    else:
        main.is_worker = True
    # Celery's processes are daemons, which multiprocessing refuses children; they end with the process group instead.
    multiprocessing.current_process()._config.pop("daemon", None)  # type: ignore[attr-defined]  # no public way
    sys.setswitchinterval(SWITCH_INTERVAL)
    configure_logging(options.settings.log_level, options.settings.log_format)
    try:
        _process = BackendProcess(options)
    except BaseException:  # noqa: BLE001 - SystemExit of the imported module too
        traceback.print_exc()
        sys.stderr.flush()
        # The parent would start another process, and that would fail too.
        os.kill(os.getppid() if options.pool == "prefork" else os.getpid(), signal.SIGTERM)


def _stop_process(**_: object) -> None:
    if _process is not None:
        _process.stop()


def _run(payload: str) -> None:
    """Run the query of a message."""
    try:
        message = celery_app.decode_message(payload)
    except msgspec.DecodeError as error:
        logger.error("invalid message: %s", error)  # noqa: TRY400 - the text is complete
        return
    if _process is not None:
        _process.run(message)


if options is not None:
    app = celery_app.create_app(options.settings)
    app.task(_run, name=celery_app.TASK, ignore_result=True, max_retries=0)
    if options.pool == "prefork":
        signals.worker_process_init.connect(_start_process, weak=False)
        signals.worker_process_shutdown.connect(_stop_process, weak=False)
    else:
        signals.worker_init.connect(_start_process, weak=False)
        signals.worker_shutdown.connect(_stop_process, weak=False)

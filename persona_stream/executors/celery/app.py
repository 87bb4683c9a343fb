"""Celery application of servers and workers, and the message that carries a query. Imports no gevent."""

from typing import Any

import msgspec
from celery import Celery

from persona_stream.core import facts
from persona_stream.core.query import Query
from persona_stream.executors.worker import protocol
from persona_stream.settings.schema import DEFAULT, Settings

TASK = "persona_stream.run"
QUEUE = "persona_stream"
MAX_MESSAGE_BYTES = 32 * 2**20
HARD_LIMIT_DELAY = 5.0  # seconds after the deadline, when Celery kills a process whose code does not stop
VISIBILITY_MARGIN = 60.0  # seconds


class QueryMessage(msgspec.Struct, frozen=True):
    """Query for a worker, as JSON.

    Attributes:
        run_id: the run.
        backend: the backend's name in the worker's settings.
        query: the query, with its history.
        deadline: seconds that the query may take.
        started: the fact that the worker appends when it takes the run; ``None`` if the run has started.
        max_answer_bytes: the size limit of the answer.
        trace_headers: headers for outgoing requests.
        server: the process that records the calls to providers.
    """

    run_id: str
    backend: str
    query: Query
    deadline: float
    started: facts.Started | None
    max_answer_bytes: int
    trace_headers: dict[str, str] = {}
    server: str = ""


def create_app(settings: Settings) -> Celery:
    """Create the application, whose broker is the Redis of the journals unless the settings name another one."""
    app = Celery("persona_stream", broker=settings.broker_url or settings.redis_url, set_as_current=False)
    app.conf.update(
        # No pickle: who can write to the broker must not be able to run code.
        accept_content=["json"],
        task_serializer="json",
        result_backend=None,
        task_ignore_result=True,
        task_default_queue=QUEUE,
        # Acknowledged when it is received: a query that has an effect outside must not run twice.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options=_transport_options(settings) if is_redis(settings) else {},
    )
    return app


def is_redis(settings: Settings) -> bool:
    """Return whether the broker is Redis."""
    return (settings.broker_url or settings.redis_url or "").startswith("redis")


def queue_of(backend: str) -> str:
    """Return the queue of a backend by its name in the settings, so that some workers can serve some backends only."""
    return QUEUE if backend == DEFAULT else f"{QUEUE}.{backend}"


def encode_message(message: QueryMessage) -> str:
    """Return a message as JSON text; raise ``TypeError`` if a value cannot be represented."""
    builtins = msgspec.to_builtins(message, enc_hook=protocol.encode_hook)
    return msgspec.json.encode(protocol.to_encodable(builtins)).decode()


def decode_message(text: str) -> QueryMessage:
    """Decode a message; raise ``msgspec.DecodeError`` if it is not one of the schema, or is too large."""
    if len(text) > MAX_MESSAGE_BYTES:
        raise msgspec.DecodeError(f"{len(text)} bytes")
    return msgspec.json.decode(text, type=QueryMessage, dec_hook=protocol.decode_hook)


def _transport_options(settings: Settings) -> dict[str, Any]:
    # Redis delivers a message again that is not acknowledged within this time.
    longest = settings.longest_timeout + settings.queue_timeout
    return {"visibility_timeout": int(longest + VISIBILITY_MARGIN), "socket_keepalive": True}

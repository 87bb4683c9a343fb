"""The one file that knows everybody: it puts the application together."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

from flask import Flask
from gevent import monkey

from persona_stream.auth.tickets import RunURLSigner
from persona_stream.auth.verifier import create_verifier
from persona_stream.core.clock import Clock, monotonic_wall_clock, system_clock
from persona_stream.db.factory import create_store, start_retention_job
from persona_stream.errors import ConfigurationError
from persona_stream.executors.factory import build_execution
from persona_stream.instrumentation.factory import build_metrics, build_tracing
from persona_stream.instrumentation.hub_monitor import EventLoopMonitor
from persona_stream.instrumentation.logging import LogObserver
from persona_stream.instrumentation.persistence import ConversationObserver, RequestLogObserver
from persona_stream.journals.base import JournalStore
from persona_stream.journals.memory import MemoryJournalStore
from persona_stream.logging import configure_logging
from persona_stream.personas.persona import Persona, bundled_personas, load_personas
from persona_stream.runs.manager import RunLimits, RunManager
from persona_stream.runs.queue import RunQueue, Scheduler
from persona_stream.settings.loader import load_settings
from persona_stream.settings.schema import Settings
from persona_stream.state_dir import get_signing_secret
from persona_stream.web.flask_app import create_flask_app
from persona_stream.web.rate_limit import MovingWindowLimiter, NullRateLimiter, RateLimiter
from persona_stream.web.responses import detached_context
from persona_stream.web.services import Services

logger = logging.getLogger("persona_stream")

_SPARE = 60.0  # seconds


def create_app(settings: Settings | None = None, process_query: Callable[..., Any] | None = None) -> Flask:
    """Make the WSGI application.

    Args:
        settings: how; read from ``PERSONA_STREAM_*`` when left out.
        process_query: what answers, instead of ``settings.backend``. See ``persona_stream.backends.callables``
            for the signatures that it may have.

    Raises:
        ConfigurationError: it cannot be started like this; the text says what to do.
    """
    if not monkey.is_module_patched("socket"):
        raise ConfigurationError(
            "This process is not patched by gevent, so one waiting stream would block all others: start it with"
            " `persona-stream serve`, under `gunicorn --worker-class gevent`, or as"
            " `python -m gevent.monkey --module flask run`"
        )
    if settings is None:
        settings, _ = load_settings({}, os.environ, None)
    app, desk = build_app(settings, process_query)

    # Not before the first request: a server may fork after the application was made.
    app.before_request(functools.cache(partial(start_background_tasks, desk)))
    return app


def start_background_tasks(desk: Services) -> None:
    """Begin what goes on beside the requests, once, in the process that serves."""
    EventLoopMonitor(desk.clock, desk.metrics.observe_loop_lag, desk.executors.on_hub_blocked).start()
    desk.executors.prepare()


def build_app(settings: Settings, process_query: Callable[..., Any] | None = None) -> tuple[Flask, Services]:
    """Make the application, and give what it works with too."""
    configure_logging(settings.log_level, settings.log_format)
    clock = monotonic_wall_clock()
    journals = _journals(settings, clock)
    store = create_store(settings, clock)
    start_retention_job(
        store, clock, retention=settings.log_retention, longest=settings.timeout + settings.queue_timeout + _SPARE
    )
    keys_elsewhere = settings.jwt_public_key is not None or settings.jwks_url is not None
    secret = "" if keys_elsewhere else get_signing_secret(settings, os.environ)[0]
    personas = _personas(settings, process_query)
    models, executors = build_execution(settings, personas, process_query)
    meters, counting = build_metrics()
    closing = ExitStack()
    capacity = None if models.all_async else executors.capacity
    most = settings.max_runs if capacity is None else min(settings.max_runs, capacity)
    admission = Scheduler(
        most,
        settings.max_runs_per_user,
        settings.max_queue,
        executors.capacity_of,
        lambda: (
            None if settings.max_runs_shared is None else max(1, settings.max_runs_shared // journals.process_count)
        ),
    )
    desk = Services(
        settings=settings,
        router=models,
        executors=executors,
        runs=RunManager(
            executor=executors.for_backend,
            journals=journals,
            queue=RunQueue(admission, settings.queue_timeout, clock),
            limits=RunLimits(settings.timeout, settings.retention, settings.max_answer_bytes),
            clock=clock,
            observers=[
                LogObserver(),
                RequestLogObserver(store),
                ConversationObserver(store),
                *counting,
                *build_tracing(os.environ, closing),
            ],
            load_history=store.load_history,
            context=detached_context,
        ),
        verifier=create_verifier(settings, secret, system_clock()),
        url_signer=RunURLSigner(journals.secret if keys_elsewhere else lambda: secret),
        clock=clock,
        store=store,
        rate_limiter=_rates(settings),
        metrics=meters,
        closing=closing,
    )
    meters.register_gauges(
        gauges={
            "open_streams": lambda: desk.streams.count,
            "places": lambda: admission.capacity,
            "places_taken": lambda: admission.slots_in_use,
            "runs_waiting": lambda: admission.waiting,
            "backends_resting": lambda: models.unavailable_count,
            "records_waiting": lambda: store.pending,
            "records_lost": lambda: store.dropped,
        },
        stores={"journals": desk.runs.unavailable_services, "database": store.unavailable_services},
    )
    return create_flask_app(desk), desk


def _personas(settings: Settings, process_query: Callable[..., Any] | None) -> Mapping[str, Persona] | None:
    if settings.profiles is not None:
        return load_personas(settings.profiles)
    return bundled_personas() if settings.backend == "demo" and process_query is None else None


def _journals(settings: Settings, clock: Clock) -> JournalStore:
    if settings.redis_url is None:
        return MemoryJournalStore(clock, settings.retention, settings.retention_bytes)
    try:
        from persona_stream.journals.redis.store import RedisJournalStore
    except ImportError:
        raise ConfigurationError('redis_url needs the redis library: pip install "persona_stream[redis]"') from None
    return RedisJournalStore(
        settings.redis_url,
        clock,
        lease=settings.lease,
        retention=settings.retention,
        retention_bytes=settings.retention_bytes,
    )


def _rates(settings: Settings) -> RateLimiter:
    return (
        NullRateLimiter()
        if settings.rate_limit is None
        else MovingWindowLimiter(settings.rate_limit, settings.redis_url)
    )

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

from persona_stream import logging as logs
from persona_stream import state_dir as state
from persona_stream.auth.tickets import Tickets
from persona_stream.auth.verifier import verifier
from persona_stream.core.clock import Clock, calendar_clock, wall_clock
from persona_stream.db.factory import age, open_store
from persona_stream.errors import StartError
from persona_stream.executors import factory as placing
from persona_stream.instrumentation import factory as observing
from persona_stream.instrumentation import hub_monitor as pulse
from persona_stream.instrumentation.hub_monitor import Watchdog
from persona_stream.instrumentation.logging import LogObserver
from persona_stream.instrumentation.persistence import Conversations, RequestLog
from persona_stream.journals.base import Journals
from persona_stream.journals.memory import MemoryJournals
from persona_stream.personas import persona as profiles
from persona_stream.personas.persona import Persona
from persona_stream.runs.manager import Bounds, Runs
from persona_stream.runs.queue import Admission, Lobby
from persona_stream.settings.loader import load
from persona_stream.settings.schema import Settings
from persona_stream.web.flask_app import site
from persona_stream.web.rate_limit import MovingRates, NoRates, Rates
from persona_stream.web.responses import lasting_context
from persona_stream.web.services import Desk

logger = logging.getLogger("persona_stream")

_SPARE = 60.0  # seconds


def create_app(settings: Settings | None = None, process_query: Callable[..., Any] | None = None) -> Flask:
    """Make the WSGI application.

    Args:
        settings: how; read from ``PERSONA_STREAM_*`` when left out.
        process_query: what answers, instead of ``settings.backend``. See ``persona_stream.backends.callables``
            for the signatures that it may have.

    Raises:
        StartError: it cannot be started like this; the text says what to do.
    """
    if not monkey.is_module_patched("socket"):
        raise StartError(
            "This process is not patched by gevent, so one waiting stream would block all others: start it with"
            " `persona-stream serve`, under `gunicorn --worker-class gevent`, or as"
            " `python -m gevent.monkey --module flask run`"
        )
    if settings is None:
        settings, _ = load({}, os.environ, None)
    app, desk = build(settings, process_query)

    # Not before the first request: a server may fork after the application was made.
    app.before_request(functools.cache(partial(begin, desk)))
    return app


def begin(desk: Desk) -> None:
    """Begin what goes on beside the requests, once, in the process that serves."""
    Watchdog(desk.executors.blame).start()
    pulse.start(desk.meters.beat, desk.clock)
    desk.executors.prepare()


def build(settings: Settings, process_query: Callable[..., Any] | None = None) -> tuple[Flask, Desk]:
    """Make the application, and give what it works with too."""
    logs.configure(settings.log_level, settings.log_format)
    clock = wall_clock()
    journals = _journals(settings, clock)
    store = open_store(settings, clock)
    age(store, clock, retention=settings.log_retention, longest=settings.timeout + settings.queue_timeout + _SPARE)
    keys_elsewhere = settings.jwt_public_key is not None or settings.jwks_url is not None
    secret = "" if keys_elsewhere else state.signing_secret(settings, os.environ)[0]
    personas = _personas(settings, process_query)
    models, executors = placing.backends(settings, personas, process_query)
    meters, counting = observing.meters()
    closing = ExitStack()
    capacity = None if models.are_async else executors.capacity
    most = settings.max_runs if capacity is None else min(settings.max_runs, capacity)
    admission = Admission(
        most,
        settings.max_runs_per_user,
        settings.max_queue,
        executors.most_of,
        lambda: None if settings.max_runs_shared is None else max(1, settings.max_runs_shared // journals.processes),
    )
    desk = Desk(
        settings=settings,
        models=models,
        executors=executors,
        runs=Runs(
            executor=executors.of,
            journals=journals,
            lobby=Lobby(admission, settings.queue_timeout, clock),
            bounds=Bounds(settings.timeout, settings.retention, settings.max_answer_bytes),
            clock=clock,
            observers=[
                LogObserver(),
                RequestLog(store),
                Conversations(store),
                *counting,
                *observing.tracing(os.environ, closing),
            ],
            recall=store.recall,
            context=lasting_context,
        ),
        verifier=verifier(settings, secret, calendar_clock()),
        tickets=Tickets(journals.secret if keys_elsewhere else lambda: secret),
        clock=clock,
        store=store,
        rates=_rates(settings),
        meters=meters,
        closing=closing,
    )
    meters.watch(
        gauges={
            "open_streams": lambda: desk.readers.count,
            "places": lambda: admission.most,
            "places_taken": lambda: admission.taken,
            "runs_waiting": lambda: admission.waiting,
            "backends_resting": lambda: models.resting,
            "records_waiting": lambda: store.waiting,
            "records_lost": lambda: store.dropped,
        },
        stores={"journals": desk.runs.missing, "database": store.missing},
    )
    return site(desk), desk


def _personas(settings: Settings, process_query: Callable[..., Any] | None) -> Mapping[str, Persona] | None:
    if settings.profiles is not None:
        return profiles.load(settings.profiles)
    return profiles.bundled() if settings.backend == "demo" and process_query is None else None


def _journals(settings: Settings, clock: Clock) -> Journals:
    if settings.redis_url is None:
        return MemoryJournals(clock, settings.retention, settings.retention_bytes)
    try:
        from persona_stream.journals.redis.store import RedisJournals
    except ImportError:
        raise StartError('redis_url needs the redis library: pip install "persona_stream[redis]"') from None
    return RedisJournals(
        settings.redis_url,
        clock,
        lease=settings.lease,
        retention=settings.retention,
        retention_bytes=settings.retention_bytes,
    )


def _rates(settings: Settings) -> Rates:
    return NoRates() if settings.rate_limit is None else MovingRates(settings.rate_limit, settings.redis_url)

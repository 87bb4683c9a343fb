"""The one file that knows everybody: it puts the application together."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask
from gevent import monkey

from persona_stream import logs, profiles, state
from persona_stream.backends import Backend
from persona_stream.backends.callables import adapt, named
from persona_stream.clock import Clock, calendar_clock, wall_clock
from persona_stream.errors import StartError
from persona_stream.executors import Executor
from persona_stream.executors.event_loop import EventLoopExecutor
from persona_stream.executors.greenlet import GreenletExecutor
from persona_stream.executors.thread import ThreadExecutor
from persona_stream.journals import Journals
from persona_stream.journals.memory import MemoryJournals
from persona_stream.observers.log import LogObserver
from persona_stream.persona import Persona
from persona_stream.places import Places
from persona_stream.runs import Bounds, Runs
from persona_stream.settings import Settings, load
from persona_stream.tokens import Tickets, verifier
from persona_stream.web import chat, cors, openai, openapi, operations, pages, proxies, refusals, runs, stream_chat
from persona_stream.web import profiles as profiles_web
from persona_stream.web.desk import Desk


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
    return build(settings, process_query)[0]


def build(settings: Settings, process_query: Callable[..., Any] | None = None) -> tuple[Flask, Desk]:
    """Make the application, and give what it works with too."""
    logs.configure(settings.log_level, settings.log_format)
    clock = wall_clock()
    journals = _journals(settings, clock)
    keys_elsewhere = settings.jwt_public_key is not None or settings.jwks_url is not None
    secret = "" if keys_elsewhere else state.signing_secret(settings, os.environ)[0]
    personas = _personas(settings, process_query)
    backend = adapt(process_query) if process_query else _backend(settings, personas)
    executor = _executor(settings, backend)
    most = settings.max_runs if executor.capacity is None else min(settings.max_runs, executor.capacity)
    desk = Desk(
        settings=settings,
        backend=backend.name,
        runs=Runs(
            backend=backend,
            executor=executor,
            journals=journals,
            places=Places(most, settings.max_runs_per_user),
            bounds=Bounds(settings.timeout, settings.retention, settings.max_answer_bytes),
            clock=clock,
            observers=[LogObserver()],
        ),
        verifier=verifier(settings, secret, calendar_clock()),
        tickets=Tickets(journals.secret if keys_elsewhere else lambda: secret),
        clock=clock,
        personas=personas,
    )
    return _flask(desk), desk


def _flask(desk: Desk) -> Flask:
    app = Flask("persona_stream", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = desk.settings.max_body_bytes
    refusals.handle_errors(app)
    cors.allow_origins(app, desk.settings.cors_origins)
    for blueprint in (
        *stream_chat.blueprints(desk),
        chat.blueprint(desk),
        runs.blueprint(desk),
        openai.blueprint(desk),
        profiles_web.blueprint(desk),
        operations.blueprint(desk),
        openapi.blueprint(),
        pages.blueprint(),
    ):
        app.register_blueprint(blueprint)
    if trusted := desk.settings.trusted_proxies:
        app.wsgi_app = proxies.Proxies(app.wsgi_app, trusted)  # type: ignore[method-assign] # as Flask has it
    return app


def _personas(settings: Settings, process_query: Callable[..., Any] | None) -> Mapping[str, Persona] | None:
    if settings.profiles is not None:
        return profiles.load(settings.profiles)
    return profiles.bundled() if settings.backend == "demo" and process_query is None else None


def _backend(settings: Settings, personas: Mapping[str, Persona] | None) -> Backend:
    # Only what answers is imported: the others' libraries would be a fifth of the time that a start takes.
    match settings.backend:
        case "demo":
            from persona_stream.backends.demo import demo

            return Backend("demo", demo(personas or {}, seconds=settings.demo_seconds), is_async=False)
        case "openai":
            from persona_stream.backends.openai import openai_backend

            return openai_backend(
                base_url=settings.openai_base_url,
                api_key=settings.openai_api_key,
                model=settings.openai_model,
                timeout=settings.timeout,
            )
        case spec:
            return named(spec)


def _journals(settings: Settings, clock: Clock) -> Journals:
    if settings.redis_url is None:
        return MemoryJournals(clock, settings.retention, settings.retention_bytes)
    try:
        from persona_stream.journals.redis import RedisJournals
    except ImportError:
        raise StartError('redis_url needs the redis library: pip install "persona_stream[redis]"') from None
    return RedisJournals(
        settings.redis_url,
        clock,
        lease=settings.lease,
        retention=settings.retention,
        retention_bytes=settings.retention_bytes,
    )


def _executor(settings: Settings, backend: Backend) -> Executor:
    if backend.is_async:
        return EventLoopExecutor()
    return ThreadExecutor(settings.threads) if settings.executor == "thread" else GreenletExecutor()

"""Composition root: wires the layers into the WSGI application. The only module that imports all of them."""

import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from typing import Any, NamedTuple

import gevent
import msgspec
from flask import Flask, request
from gevent import monkey
from gevent.event import Event
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from persona_stream.auth import api_keys, jwt, tickets
from persona_stream.auth.base import LOCAL_USER, OpenVerifier, Verifier
from persona_stream.core import i18n
from persona_stream.core.clock import Clock, monotonic_wall_clock, system_clock
from persona_stream.db.factory import create_store, start_retention_job
from persona_stream.errors import ConfigurationError, Unavailable
from persona_stream.executors.registry import ExecutorRegistry, build_execution
from persona_stream.extras import install_command
from persona_stream.instrumentation import factory, hub_monitor, observers
from persona_stream.journals import base, memory
from persona_stream.logging import configure_logging
from persona_stream.personas.persona import Persona, bundled_personas, index_personas, load_personas
from persona_stream.runs import forecasts, manager, queue, run
from persona_stream.runs.cache import AnswerCache
from persona_stream.settings import Settings, load_settings
from persona_stream.settings.schema import parse_status_messages
from persona_stream.state_dir import get_signing_secret
from persona_stream.web import flask_app, host_auth, rate_limit, responses
from persona_stream.web.routes import stream_chat
from persona_stream.web.services import Services

logger = logging.getLogger("persona_stream")

_PREFIX = re.compile(r"(/[\w.~-]+)+", re.ASCII)
RETENTION_MARGIN = 60.0  # seconds that a record outlives the longest run


StatusMessages = Mapping[str, Sequence[str]]
"""Status texts by language code, in the order in which they are shown."""

PersonaSource = Callable[[], Iterable[Persona]]
"""Returns the personas."""


class Extensions(NamedTuple):
    """Parts of an application that its operator supplies beside the backend."""

    status_messages: StatusMessages
    personas: PersonaSource | None


NO_EXTENSIONS = Extensions({}, None)


class PersonaStream:
    """Streams, runs and conversations inside an existing Flask application.

    Args:
        process_query: the backend function, instead of ``settings.backend``.
        settings: the settings; read from ``PERSONA_STREAM_*`` if omitted.
        authenticate: returns the ``Principal`` of a request, or ``None``, with the session of the host. By default
            requests carry tokens. With it, pages of other origins are refused, and bodies must be declared as JSON.
        pages: whether the test page, the dashboard and the API page are served too.
        status_messages: as for ``create_app``.
        personas: as for ``create_app``.
    """

    def __init__(
        self,
        process_query: Callable[..., Any] | None = None,
        *,
        settings: Settings | None = None,
        authenticate: host_auth.Authenticate | None = None,
        pages: bool = False,
        status_messages: StatusMessages | None = None,
        personas: PersonaSource | None = None,
    ) -> None:
        self._process_query = process_query
        self._settings = settings
        self._extensions = Extensions(status_messages or {}, personas)
        self._authenticate = authenticate
        self._pages = pages

    def init_app(self, app: Flask, url_prefix: str) -> None:
        """Serve everything below ``url_prefix``, such as ``/assistant``; the rest of the application is unchanged.

        The paths are mounted beside the application's own: none of its hooks and error handlers apply to them.

        Raises:
            ConfigurationError: the prefix is malformed, or the application cannot start.
        """
        if not _PREFIX.fullmatch(url_prefix):
            raise ConfigurationError(f"url_prefix is {url_prefix!r}: write a path such as /assistant")
        settings = load_settings({}, os.environ, None).settings if self._settings is None else self._settings
        verifier = None
        if self._authenticate is not None:
            verifier = host_auth.HostVerifier(app, self._authenticate)
            settings = msgspec.structs.replace(settings, cors_origins=())
        mounted = _create_app(settings, self._process_query, verifier, self._extensions, has_pages=self._pages)
        if verifier is not None:
            mounted.before_request(host_auth.require_own_origin)
        app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {url_prefix: mounted})  # type: ignore[method-assign] # as documented


def create_app(
    settings: Settings | None = None,
    process_query: Callable[..., Any] | None = None,
    *,
    status_messages: StatusMessages | None = None,
    personas: PersonaSource | None = None,
) -> Flask:
    """Create the WSGI application.

    Args:
        settings: the settings; read from ``PERSONA_STREAM_*`` if omitted.
        process_query: the backend function, instead of ``settings.backend``. See ``persona_stream.backends.signature``
            for its parameters.
        status_messages: status texts by language code, in addition to those of the settings file. They replace the
            bundled ones of ``zh`` and ``en``; another language becomes one that requests may ask for.
        personas: called once, at the start; returns the personas, in the order in which pages list them.

    Raises:
        ConfigurationError: the application cannot start; the text says what to do.
    """
    return _create_app(settings, process_query, extensions=Extensions(status_messages or {}, personas))


def _create_app(
    settings: Settings | None,
    process_query: Callable[..., Any] | None,
    verifier: Verifier | None = None,
    extensions: Extensions = NO_EXTENSIONS,
    *,
    has_pages: bool = True,
) -> Flask:
    if not monkey.is_module_patched("socket"):
        raise ConfigurationError(
            "This process is not patched by gevent, so one waiting stream would block all others: start it with"
            " `persona-stream serve`, under `gunicorn --worker-class gevent`, or as"
            " `python -m gevent.monkey --module flask run`"
        )
    if settings is None:
        settings = load_settings({}, os.environ, None).settings
    app, services = build_app(settings, process_query, verifier, extensions, has_pages=has_pages)

    # Not before the first request: a server may fork after the application was created.
    @cache
    def begin() -> Event:
        start_background_tasks(services)
        has_begun = Event()
        gevent.spawn(_begin_execution, services).rawlink(lambda _: has_begun.set())
        return has_begun

    @app.before_request
    def wait_until_begun() -> None:
        # Importing a backend may take minutes, and a process that starts is alive.
        if request.blueprint not in ("health", "dashboard"):
            begin().wait()

    return app


def _begin_execution(services: Services) -> None:
    try:
        services.executors.begin()
    except ConfigurationError as error:
        logger.error("%s", error)  # noqa: TRY400 - the text is complete
    else:
        for placement in services.executors.placements():
            logger.info("%s", placement)


def start_background_tasks(services: Services) -> None:
    """Start the tasks beside the requests; call it once, in the process that serves."""
    metrics = services.metrics
    hub_monitor.EventLoopMonitor(services.clock, metrics.observe_loop_lag, services.executors.on_hub_blocked).start()
    gevent.spawn(_read_durations, services)


def _read_durations(services: Services) -> None:
    """Read the durations of earlier runs, once from the request log, and those of all processes from the journals."""
    forecasts = services.runs.forecasts
    try:
        forecasts.read_shared()
        if services.store.has_database:
            from persona_stream.db import queries

            forecasts.load(services.store.query(queries.recent_durations))
    except Unavailable as error:
        logger.info("no durations of earlier runs: %s", error)
    if services.runs.is_shared:
        forecasts.follow_shared()


def build_app(
    settings: Settings,
    process_query: Callable[..., Any] | None = None,
    verifier: Verifier | None = None,
    extensions: Extensions = NO_EXTENSIONS,
    *,
    has_pages: bool = True,
) -> tuple[Flask, Services]:
    """Create the application and its services, with another verifier or without pages. Otherwise as ``create_app``."""
    configure_logging(settings.log_level, settings.log_format)
    messages = {**settings.status_messages, **extensions.status_messages}
    i18n.register_status_messages(parse_status_messages(messages, "status_messages"))
    if settings.locale not in (None, *i18n.languages()):
        raise ConfigurationError(f"locale must be one of {', '.join(i18n.languages())}, not {settings.locale}")
    personas = _load_personas(settings, process_query, extensions.personas)
    services, scheduler = _build_services(settings, process_query, verifier, personas)
    _register_gauges(services, scheduler)
    return flask_app.create_flask_app(services, has_pages=has_pages), services


def _build_services(
    settings: Settings,
    process_query: Callable[..., Any] | None,
    verifier: Verifier | None,
    personas: Mapping[str, Persona] | None,
) -> tuple[Services, queue.Scheduler]:
    clock = monotonic_wall_clock()
    journals = _create_journals(settings, clock)
    store = create_store(settings, clock)
    longest = settings.longest_timeout + settings.queue_timeout + RETENTION_MARGIN
    start_retention_job(store, clock, retention=settings.log_retention, longest=longest)
    has_foreign_keys = settings.jwt_public_key is not None or settings.jwks_url is not None
    secret = "" if has_foreign_keys else get_signing_secret(settings, os.environ)[0]
    router, executors = build_execution(settings, personas, process_query, journals)
    metrics, metrics_observers = factory.build_metrics()
    closing = ExitStack()
    scheduler = _create_scheduler(settings, executors, journals)
    run_observers = [observers.LogObserver(), *metrics_observers, *factory.build_tracing(os.environ, closing)]
    if store.has_database:
        run_observers += [observers.RequestLogObserver(store), observers.ConversationObserver(store)]
    answer_cache = None
    if settings.cache is not None:
        answer_cache = AnswerCache(journals.answers, settings.cache, is_shared=settings.cache_shared)
    runs = manager.RunManager(
        cache=answer_cache,
        executor_for=executors.for_backend,
        journals=journals,
        queue=queue.RunQueue(scheduler, settings.queue_timeout),
        limits=run.RunLimits(settings.timeout, settings.retention, settings.max_answer_bytes),
        clock=clock,
        observers=run_observers,
        load_history=store.load_history,
        create_context=responses.detached_context,
        forecasts=forecasts.RunForecasts(
            settings.timeout, metrics.observe_accuracy, journals.new_durations if journals.is_shared else None
        ),
    )
    limiter = rate_limit.RateLimiter()
    rates = {each.path: each.rate_limit for each in settings.endpoints if each.rate_limit}
    if settings.rate_limit is not None or rates:
        limiter = rate_limit.MovingWindowLimiter(settings.rate_limit, rates, settings.redis_url)
    services = Services(
        settings=settings,
        router=router,
        executors=executors,
        runs=runs,
        verifier=verifier or _create_verifier(settings, secret),
        url_signer=tickets.RunURLSigner(journals.secret if has_foreign_keys else lambda: secret),
        clock=clock,
        store=store,
        rate_limiter=limiter,
        timeouts={each.path: each.timeout for each in settings.endpoints if each.timeout is not None},
        styles=stream_chat.configured_styles(settings),
        metrics=metrics,
        closing=closing,
    )
    return services, scheduler


def _register_gauges(services: Services, scheduler: queue.Scheduler) -> None:
    services.metrics.register_gauges(
        gauges={
            "open_streams": lambda: services.streams.count,
            "places": lambda: scheduler.capacity,
            "places_taken": lambda: scheduler.slots_in_use,
            "abandoned_threads": lambda: services.executors.statistics().orphans,
            "workers": lambda: services.executors.statistics().workers,
            "workers_retired": lambda: services.executors.statistics().retired,
            "runs_waiting": lambda: scheduler.waiting,
            "backends_resting": lambda: services.router.unavailable_count,
            "records_waiting": lambda: services.store.pending,
            "records_lost": lambda: services.store.dropped,
        },
        stores={"journals": services.runs.unavailable_services, "database": services.store.unavailable_services},
    )


def _create_scheduler(settings: Settings, executors: ExecutorRegistry, journals: base.JournalStore) -> queue.Scheduler:
    """Create the scheduler of the slots."""
    capacity = executors.capacity
    if (shared := settings.max_runs_shared) is not None:

        def capacity() -> int:
            share = max(1, shared // journals.process_count)
            limit = executors.capacity()
            return share if limit is None else min(share, limit)

    return queue.Scheduler(settings.max_runs, settings.max_runs_per_user, settings.max_queue, share=capacity)


def _create_verifier(settings: Settings, secret: str) -> Verifier:
    if settings.auth == "off":
        logger.warning("auth is off: every program on this machine can use the server, as the user %r", LOCAL_USER)
        return OpenVerifier()
    clock = system_clock()
    tokens = jwt.create_verifier(settings, secret, clock)
    return (
        tokens
        if settings.api_keys is None
        else api_keys.ApiKeyVerifier(api_keys.KeyFile(settings.api_keys), clock, tokens)
    )


def _load_personas(
    settings: Settings, process_query: Callable[..., Any] | None, source: PersonaSource | None
) -> Mapping[str, Persona] | None:
    if source is not None:
        return index_personas(source())
    if settings.profiles is not None:
        return load_personas(settings.profiles)
    # With Celery, the workers' settings name the backend.
    is_demo = settings.backend == "demo" and process_query is None and settings.executor != "celery"
    return bundled_personas() if is_demo else None


def _create_journals(settings: Settings, clock: Clock) -> base.JournalStore:
    if settings.redis_url is None:
        return memory.MemoryJournalStore(clock, settings.retention, settings.retention_bytes)
    try:
        from persona_stream.journals.redis.store import RedisJournalStore
    except ImportError:
        raise ConfigurationError(f"redis_url needs the redis library: {install_command('redis')}") from None
    return RedisJournalStore(
        settings.redis_url,
        clock,
        lease=settings.lease,
        retention=settings.retention,
        retention_bytes=settings.retention_bytes,
    )

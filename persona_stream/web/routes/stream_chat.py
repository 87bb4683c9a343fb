"""Native chat endpoints: streams in three styles, ``/api/chat`` with one response, and the forecast of a run."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from flask import Blueprint, Flask, Request, Response
from msgspec import structs

from persona_stream.chunking.registry import names
from persona_stream.core import i18n
from persona_stream.core.facts import Entry
from persona_stream.core.projection import ADVANCED, BASIC, SMART, StreamStyle
from persona_stream.errors import ConfigurationError
from persona_stream.protocols.native import schemas
from persona_stream.protocols.native.encoder import NATIVE, NativeEncoder
from persona_stream.settings.schema import Settings
from persona_stream.web import auth, delivery, negotiation, parsing, responses, run_requests
from persona_stream.web.openapi import (
    Body,
    EventStreamSpec,
    Operation,
    Parameter,
    ResponseSpec,
    Tag,
    components,
    register_run_events,
)
from persona_stream.web.services import Services

ENDPOINTS = {
    "/api/stream_chat": BASIC,
    "/api/stream_chat_advanced": ADVANCED,
    "/api/stream_chat_smart": SMART,
}

STREAMS = Tag("Streams", "Ask a question and receive the answer.")
NATIVE_EVENTS = {
    style: EventStreamSpec(
        name=f"{style.title()}Event",
        description=f"Event of a stream in style {style}.",
        data=tuple(
            frame for frame in get_args(schemas.Frame) if frame is chunk or frame not in schemas.CHUNK_FRAMES.values()
        ),
        discriminator="status",
        has_id=True,
    )
    for style, chunk in schemas.CHUNK_FRAMES.items()
}
"""Events of the native protocol, by style."""
register_run_events(NATIVE.name, *NATIVE_EVENTS.values())
_STYLE_SETTINGS = ("interval", "chunk_size", "pause")


def native_stream(style: StreamStyle) -> str:
    """Return the example of a stream in this style."""
    encoder = NativeEncoder(components.RUN_ID, components.EVENTS_URL, style, "en")
    return components.render_stream(lambda journal: encoder, style)


def _add_message_rules(schema: dict[str, Any]) -> None:
    schema["properties"]["message"]["pattern"] = r"\S"
    schema["properties"]["chunking"]["anyOf"][0]["enum"] = list(names())
    schema["properties"]["locale"]["anyOf"][0] = {"enum": list(i18n.languages())}


def _failure(journal: Sequence[Entry], *kinds: type) -> Sequence[Body]:
    return [Body.json(*kinds, failure=lambda: NATIVE.response(journal)[1])]


_REQUEST = Body(
    schema=(parsing.ChatRequest,),
    examples={"request": {"username": components.USERNAME, "message": components.QUESTION, "locale": "en"}},
    refine=_add_message_rules,
)
_USERNAME = Parameter("query", "username", "Persona that would answer; optional on a server without personas.")
_ERRORS = (*components.RUN_ERRORS, components.PERSONA_NOT_FOUND)
_IF_STARTED = (components.RUN_ID_IF_STARTED,)
_FAILURES = {
    409: ResponseSpec(
        "The run was cancelled (`cancelled`), or the idempotency key was used with another endpoint or body"
        " (`conflict`).",
        _failure(components.failed_run("cancelled", 12.3), schemas.CancelledFrame, schemas.ErrorFrame),
        _IF_STARTED,
    ),
    500: ResponseSpec(
        "The backend failed unexpectedly (`internal`), or its answer exceeds the size limit (`answer_too_large`).",
        _failure(components.failed_run("internal", 1.2), schemas.ErrorFrame),
        _IF_STARTED,
    ),
    502: ResponseSpec(
        "The backend reported an error (`backend_error`), or the process of the run died (`lost`).",
        _failure(components.failed_run("backend_error", 1.2, "The archive is closed today."), schemas.ErrorFrame),
        components.RUN_HEADERS,
    ),
    503: ResponseSpec(
        components.UNAVAILABLE.description,
        _failure(components.failed_run("draining", 1.2), schemas.ErrorFrame),
        (*_IF_STARTED, components.RETRY_AFTER),
    ),
    504: ResponseSpec(
        "The run exceeded its deadline.",
        _failure(components.failed_run("timeout", 150.0), schemas.TimeoutFrame),
        components.RUN_HEADERS,
    ),
}


def configured_styles(settings: Settings) -> Mapping[str, StreamStyle]:
    """Return the styles by name, with the interval, the chunk size and the pause that the settings have for them."""
    styles = {}
    for path, style in ENDPOINTS.items():
        config = settings.endpoint(path)
        changes = {name: getattr(config, name) for name in _STYLE_SETTINGS if getattr(config, name) is not None}
        styles[style.name] = structs.replace(style, **changes)
    return styles


def check_endpoints(app: Flask, settings: Settings) -> None:
    """Raise ``ConfigurationError`` if the settings have limits for an address that the application does not have."""
    rules = [rule for rule in app.url_map.iter_rules() if not rule.arguments]
    paths = [rule.rule for rule in rules if "POST" in (rule.methods or ())]
    for config in settings.endpoints:
        where = f'[endpoints."{config.path}"]'
        if config.path not in paths:
            close = difflib.get_close_matches(config.path, paths, n=1) or list(ENDPOINTS)
            raise ConfigurationError(f"{where}: there is no such endpoint: did you mean {close[0]}?")
        for name in _STYLE_SETTINGS:
            if config.path not in ENDPOINTS and getattr(config, name) is not None:
                raise ConfigurationError(f"{name} of {where} is a setting of streams only: {', '.join(ENDPOINTS)}")


def blueprint(services: Services) -> Blueprint:
    """Return the blueprint of the streaming endpoints and of ``/api/chat``."""
    blueprint = Blueprint("stream_chat", __name__)
    for path, style in ENDPOINTS.items():
        _add_stream(blueprint, services, path, style)

    @blueprint.post("/api/chat")
    @Operation(
        "Get an answer in one response",
        components.run_started(
            "The answer, or any ending of a run that takes longer than the `commit_window`.",
            Body.json(
                schemas.ChatAnswer,
                schemas.ErrorFrame,
                schemas.TimeoutFrame,
                schemas.CancelledFrame,
                answer=lambda: NATIVE.response(components.COMPLETE)[1],
            ),
        ),
        "Starts the same run and responds once it has ended, at the latest after its deadline. After the"
        " `commit_window`, 25 s unless the operator changes it, the response opens with status 200, and white space"
        " keeps the connection alive until the body.",
        tags=[STREAMS],
        parameters=(components.IDEMPOTENCY_KEY, components.ACCEPT_LANGUAGE),
        request=_REQUEST,
        responses=_FAILURES,
        errors=_ERRORS,
    )
    def chat() -> Response:
        request = responses.current_request()
        run_request = run_requests.build_run_request(request, services, SMART, services.settings.disconnect_grace_v1)
        return delivery.blocking_response(request, services, delivery.start_run(services, run_request), NATIVE)

    @blueprint.get("/api/forecast")
    @Operation(
        "Get the expected duration",
        ResponseSpec.json("The forecast.", schemas.ForecastView(expected=12.0, low=8.0, high=25.0, runs=50)),
        "How long a question of usual length would probably take, from the earlier runs of the backend. The wait for a"
        " slot is not included.",
        tags=[STREAMS],
        parameters=[_USERNAME],
        errors=(*components.COMMON_ERRORS, components.PERSONA_NOT_FOUND),
    )
    def forecast() -> Response:
        request = responses.current_request()
        auth.authenticate(request, services.verifier)
        username = request.args.get("username") or services.router.names[0]
        backend = run_requests.resolve_persona(services, username).backend
        expected, runs = services.runs.forecasts.expected(backend.name, username, services.clock())
        if expected is None:
            view = schemas.ForecastView(expected=None, low=None, high=None, runs=runs)
        else:
            median, low, high = (round(each, 1) for each in (expected.median, expected.low, expected.high))
            view = schemas.ForecastView(expected=median, low=low, high=high, runs=runs)
        return responses.json_response(view)

    return blueprint


def _add_stream(blueprint: Blueprint, services: Services, path: str, style: StreamStyle) -> None:
    @blueprint.post(path, endpoint=f"stream_chat_{style.name}")
    @Operation(
        f"Stream an answer ({style.name})",
        components.run_started(
            "Stream of the run from its beginning.",
            Body.stream(NATIVE_EVENTS[style.name], answered=lambda: native_stream(style)),
        ),
        f"Sends progress every {style.interval:g} s while the backend is working, then the answer in chunks"
        f" ({style.chunking} unless `chunking` is set), {style.pause:g} s apart. The last event is the one with"
        " `is_complete` true. The run continues when the connection breaks: resume the stream with"
        " `GET /api/runs/{run_id}/events`.",
        tags=[STREAMS],
        id="streamChat" + ("" if style is BASIC else style.name.title()),
        parameters=(components.IDEMPOTENCY_KEY, components.ACCEPT_LANGUAGE, components.RESUME),
        request=_REQUEST,
        errors=(*_ERRORS, components.NOT_ACCEPTABLE),
    )
    def stream_chat() -> Response:
        return _stream_chat_base(responses.current_request(), services, style)


def _stream_chat_base(request: Request, services: Services, style: StreamStyle) -> Response:
    """Validate a request, start its run, and return the stream from the beginning."""
    transport = negotiation.negotiate_transport(request)
    grace = services.settings.disconnect_grace
    run_request = run_requests.build_run_request(request, services, style, grace, can_ask=True)
    journal = delivery.start_run(services, run_request)
    return delivery.stream_response(request, services, journal, protocol=NATIVE, transport=transport)

"""``/api/runs``: a run outlives its connection, and is read again, looked at and cancelled here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

from flask import Blueprint, Request, Response, request
from msgspec import Meta

from persona_stream.auth.jwt import invalid_token
from persona_stream.core import cursor
from persona_stream.core.cursor import Position
from persona_stream.core.projection import SMART, STYLES
from persona_stream.core.query import Locale
from persona_stream.errors import InvalidRequest
from persona_stream.journals.base import Journal, has_ended, run_terms
from persona_stream.protocols.anthropic.encoder import AnthropicEncoder
from persona_stream.protocols.base import EventEncoder
from persona_stream.protocols.native.responses import RunList, RunView, run_view
from persona_stream.protocols.openai.encoder import Heartbeat, OpenAIEncoder
from persona_stream.web.auth import authenticate
from persona_stream.web.negotiation import require_event_stream
from persona_stream.web.openapi import components, examples
from persona_stream.web.openapi.operations import (
    Body,
    Operation,
    Parameter,
    ResponseSpec,
    Tag,
    describe,
    json_spec,
)
from persona_stream.web.parsing import page_limit, query_int
from persona_stream.web.responses import json_response
from persona_stream.web.routes.anthropic import MESSAGE_EVENTS
from persona_stream.web.routes.openai import COMPLETION_EVENTS, heartbeat_mode
from persona_stream.web.routes.stream_chat import NATIVE_EVENTS, native_stream
from persona_stream.web.services import Services
from persona_stream.web.streaming import stream_response

T = TypeVar("T")

_PAGE, _LARGEST_PAGE = 20, 100
_LOCALES: dict[str, Locale] = {"zh": "zh", "en": "en"}


RUNS = Tag("Runs", "Resume, inspect and cancel runs.")
_FOUND_ERRORS = (*components.COMMON_ERRORS, components.RUN_NOT_FOUND, components.RUN_GONE)
_EVENT_ID = Annotated[str, Meta(pattern=r"^([^/]{1,200}/[0-9]{1,15}\.[0-9]{1,15})?$")]


def _query(name: str, description: str, choices: Sequence[str], default: str | None = None) -> Parameter:
    return Parameter(name=name, location="query", description=description, choices=choices, default=default)


_VIEW = ResponseSpec(
    description="State of the run.",
    headers=(components.RETRY_AFTER,),
    bodies=(
        Body(
            schema=(RunView,),
            examples={
                "running": lambda: run_view(examples.RUNNING, examples.ACCEPTED_AT + 2, examples.EVENTS_URL),
                "answered": lambda: run_view(examples.COMPLETE, examples.ACCEPTED_AT + 60, examples.EVENTS_URL),
            },
        ),
    ),
)
_LIST = Operation(
    id="listRuns",
    summary="List runs",
    description="Returns the caller's runs, newest first.",
    tags=(RUNS,),
    parameters=(
        components.limit_parameter("runs", _LARGEST_PAGE, default=_PAGE),
        Parameter(name="before", location="query", description="`next` of the previous page."),
    ),
    responses={
        200: json_spec(
            "A page of runs.",
            RunList,
            lambda: RunList(
                runs=[run_view(examples.COMPLETE, examples.ACCEPTED_AT + 60, examples.EVENTS_URL)], next=None
            ),
        )
    },
    errors=(*components.COMMON_ERRORS, components.INVALID_REQUEST),
)
_GET = Operation(
    id="showRun",
    summary="Get a run",
    description="Returns the state of a run and its answer so far.",
    tags=(RUNS,),
    parameters=(components.RUN_ID_IN_PATH,),
    responses={200: _VIEW},
    errors=_FOUND_ERRORS,
)
_CANCEL = Operation(
    id="cancelRun",
    summary="Cancel a run",
    description="Has no effect on a run that has ended.",
    tags=(RUNS,),
    parameters=(components.RUN_ID_IN_PATH,),
    responses={200: _VIEW},
    errors=_FOUND_ERRORS,
)
_EVENTS = Operation(
    id="readRun",
    summary="Resume the stream of a run",
    description="Streams a run from its beginning or from any position, in any style, language and protocol. Each"
    " character of the answer is sent exactly once; overdue text is sent immediately, and past progress is skipped."
    " Requires the token of the caller that started the run, or the run's ticket.",
    tags=(RUNS,),
    security=("bearer", "ticket"),
    parameters=(
        components.RUN_ID_IN_PATH,
        Parameter(
            name="Last-Event-ID",
            location="header",
            description="`id` of the last event received; the stream continues after it. Empty means from the"
            " beginning. Takes precedence over `last_event_id`, and both over `from`. `EventSource` sets it itself.",
            type=_EVENT_ID,
        ),
        Parameter(
            name="last_event_id",
            location="query",
            description="The same as `Last-Event-ID`, for clients that cannot set headers.",
            type=_EVENT_ID,
        ),
        Parameter(
            name="from",
            location="query",
            description="Characters (Unicode code points) of the answer received; the stream continues after them.",
            type=Annotated[int, Meta(ge=0, le=10**15 - 1)],
            default=0,
        ),
        _query("style", "Style of the events; defaults to the style that the run was started with.", tuple(STYLES)),
        _query("locale", "Language of status texts; defaults to that of the run.", tuple(_LOCALES)),
        _query(
            "dialect",
            "Protocol of the events. `openai` and `anthropic` use the pace of style smart.",
            ("native", "openai", "anthropic"),
            default="native",
        ),
        components.HEARTBEAT,
        components.RESUME,
    ),
    responses={
        200: ResponseSpec(
            description="Rest of the stream.",
            headers=components.RUN_HEADERS,
            bodies=(
                Body(
                    events=(*NATIVE_EVENTS.values(), COMPLETION_EVENTS, MESSAGE_EVENTS),
                    media_type="text/event-stream",
                    examples={"fromTheBeginning": lambda: native_stream(SMART)},
                ),
            ),
        ),
        204: ResponseSpec(description="The client has received the whole stream. `EventSource` stops reconnecting."),
    },
    errors=(*_FOUND_ERRORS, components.INVALID_REQUEST, components.NOT_ACCEPTABLE),
)


def blueprint(desk: Services) -> Blueprint:
    """Give the blueprint of ``/api/runs``."""
    blueprint = Blueprint("runs", __name__)

    @blueprint.get("/api/runs/<run_id>/events")
    @describe(_EVENTS)
    def events(run_id: str) -> Response:
        journal = desk.runs.follow(run_id, _reader(request, desk, run_id))
        require_event_stream(request)
        start = _start(request, journal)
        style, locale = _choice("style", STYLES), _choice("locale", _LOCALES)
        beat = heartbeat_mode(request, desk.settings)
        dialect = _choice("dialect", {"native": None, "openai": _openai, "anthropic": _anthropic})
        if cursor.is_at_end(start, journal.entries):
            # EventSource reconnects for ever after a stream's end, and 204 is what stops it.
            return Response(status=204)
        style_name = style.name if style else None
        speak = dialect(journal, beat) if dialect else None
        return stream_response(request, desk, journal, start=start, style_name=style_name, locale=locale, dialect=speak)

    @blueprint.get("/api/runs/<run_id>")
    @describe(_GET)
    def show(run_id: str) -> Response:
        return _shown(desk, desk.runs.find(run_id, authenticate(request, desk.verifier).subject))

    @blueprint.post("/api/runs/<run_id>/cancel")
    @describe(_CANCEL)
    def cancel(run_id: str) -> Response:
        journal = desk.runs.follow(run_id, authenticate(request, desk.verifier).subject)
        desk.runs.cancel(journal)
        return _shown(desk, journal)

    @blueprint.get("/api/runs")
    @describe(_LIST)
    def mine() -> Response:
        owner = authenticate(request, desk.verifier).subject
        most = page_limit(_PAGE, _LARGEST_PAGE)
        journals, following = desk.runs.list_for_owner(owner, request.args.get("before"), most)
        return json_response(RunList(runs=[_view(desk, journal) for journal in journals], next=following))

    return blueprint


def _reader(request: Request, desk: Services, run_id: str) -> str | None:
    """Give the owner that the caller is, or ``None`` where a ticket opens the run, whoever brings it."""
    ticket = request.args.get("ticket")
    if ticket is None:
        return authenticate(request, desk.verifier).subject
    if not desk.url_signer.verify(run_id, ticket):
        raise invalid_token("This ticket does not open this run: take the whole events_url of the run's first event")
    return None


def _openai(journal: Journal, beat: Heartbeat) -> EventEncoder:
    return OpenAIEncoder(journal.entries, heartbeat=beat)


def _anthropic(journal: Journal, _: Heartbeat) -> EventEncoder:
    return AnthropicEncoder(journal.entries)


def _start(request: Request, journal: Journal) -> Position:
    """Find where the reader is: the header, which EventSource renews, before the query, which it repeats.

    What is malformed is refused also where it does not count: it would be believed as soon as the other is missing.
    """
    said = (request.headers.get("Last-Event-ID"), request.args.get("last_event_id"))
    positions = [cursor.parse(event_id, run_terms(journal).run_id) for event_id in said if event_id is not None]
    characters = query_int("from", 0)

    def found() -> Position:
        if positions:
            return cursor.validate(positions[0], journal.entries)
        return cursor.position_at_character(characters, journal.entries)

    try:
        return found()
    except InvalidRequest:
        journal.refresh()  # a reader that comes from another process may be quicker than the word of what it read
        return found()


def _choice(name: str, choices: dict[str, T]) -> T | None:
    text = request.args.get(name)
    if text is None:
        return None
    if text not in choices:
        raise InvalidRequest(f"{name}: is none of {', '.join(choices)}")
    return choices[text]


def _view(desk: Services, journal: Journal) -> RunView:
    run_id = run_terms(journal).run_id
    return run_view(
        journal.entries, desk.clock(), desk.events_url(run_id), is_left_working=desk.runs.has_orphaned_task(run_id)
    )


def _shown(desk: Services, journal: Journal) -> Response:
    response = json_response(_view(desk, journal))
    if not has_ended(journal):
        response.headers["Retry-After"] = "2"
    return response

"""Endpoints of runs: ``/api/runs`` lists, shows, resumes and cancels them. A run outlives its connection."""

import hashlib
import secrets
from collections.abc import Mapping
from functools import partial
from itertools import chain
from typing import Annotated, TypeVar

from flask import Blueprint, Request, Response
from msgspec import Meta, Struct, json

from persona_stream.auth.base import invalid_token
from persona_stream.core import content, cursor, facts, i18n, projection, query
from persona_stream.errors import Conflict, InvalidRequest, NotFound
from persona_stream.journals.base import Journal
from persona_stream.protocols.native.encoder import NATIVE
from persona_stream.protocols.native.schemas import RunList, RunView, run_view
from persona_stream.protocols.registry import PROTOCOLS
from persona_stream.runs.manager import INPUT_CLOSED_MESSAGE, INPUT_NOT_FOUND_MESSAGE
from persona_stream.web import auth, delivery, negotiation, parsing, responses
from persona_stream.web.openapi import Body, ErrorSpec, Operation, Parameter, ResponseSpec, Tag, components
from persona_stream.web.openapi.spec import RUN_EVENTS
from persona_stream.web.routes import stream_chat
from persona_stream.web.services import Services

T = TypeVar("T")

_PAGE_SIZE = 20
_MAX_PAGE_SIZE = 100
_MAX_WAIT = 60  # seconds of a long poll
_RETRY_AFTER = "2"  # seconds, while the run is running

RUNS = Tag("Runs", "Resume, inspect and cancel runs.")
_EVENT_ID = Annotated[str, Meta(pattern=r"^([^/]{1,200}/[0-9]{1,15}\.[0-9]{1,15})?$")]
# The first two are the names of polyfills: Yaffle/EventSource PR 162, dunglas/mercure #613, MatthewWid/better-sse #21.
_EVENT_ID_NAMES = ("lastEventId", "Last-Event-ID", "last_event_id")
_query = partial(Parameter, "query")
_EVENTS_PARAMETERS = (
    components.RUN_ID_IN_PATH,
    Parameter(
        "header",
        "Last-Event-ID",
        "`id` of the last event received; the stream continues after it. Empty means from the beginning. Takes"
        " precedence over the query. `EventSource` sets it itself.",
        _EVENT_ID,
    ),
    _query(
        "last_event_id",
        "The same as `Last-Event-ID`, for clients that cannot set headers. `lastEventId` and `Last-Event-ID`, the names"
        " that polyfills of `EventSource` use, take precedence over it, and it over `from`.",
        _EVENT_ID,
    ),
    _query(
        "from",
        "Characters (Unicode code points) of the answer received; the stream continues after them.",
        Annotated[int, Meta(ge=0, le=10**15 - 1)],
        default=0,
    ),
    _query(
        "style",
        "Style of the events; defaults to the style that the run was started with.",
        choices=tuple(projection.STYLES),
    ),
    _query("locale", "Language of status texts; defaults to that of the run.", choices=i18n.languages()),
    _query(
        "protocol",
        "Protocol of the events. Protocols other than `native` use the pace of style smart.",
        choices=tuple(PROTOCOLS),
        default="native",
    ),
    components.HEARTBEAT,
    components.RESUME,
)
_VIEW_BODY = Body.json(
    RunView,
    running=lambda: run_view(components.RUNNING, components.ACCEPTED_AT + 2, components.EVENTS_URL),
    answered=lambda: run_view(components.COMPLETE, components.ACCEPTED_AT + 60, components.EVENTS_URL),
)
_VIEW = ResponseSpec("State of the run.", [_VIEW_BODY], [components.RETRY_AFTER])
_LIST = Body.json(
    RunList,
    page=lambda: RunList(
        runs=[run_view(components.COMPLETE, components.ACCEPTED_AT + 60, components.EVENTS_URL)], next=None
    ),
)
_WAIT = _query(
    "wait",
    "Seconds to wait for the end of the run: the response is sent when the run has ended, or when the time is over.",
    Annotated[int, Meta(ge=0, le=_MAX_WAIT)],
    default=0,
)


class InputAnswer(Struct, frozen=True):
    """Answer to a question of a run. Unknown fields are ignored."""

    input_id: Annotated[str, Meta(max_length=100, description="Id of the question, from its `input_required` event.")]
    value: Annotated[
        str,
        Meta(
            max_length=query.MAX_INPUT_CHARACTERS,
            description="The answer: one of the `choices` if the question has any, or else a text, which may be empty.",
        ),
    ]


_answer_decoder = json.Decoder(InputAnswer)
_ANSWER = Body(schema=(InputAnswer,), examples={"answer": {"input_id": "5b1c8a90d2e7f346", "value": "2025"}})
_INPUT_NOT_FOUND = ErrorSpec(
    NotFound(INPUT_NOT_FOUND_MESSAGE), "The run has not asked a question with this id.", name="InputNotFound"
)
_INPUT_CLOSED = ErrorSpec(
    Conflict(INPUT_CLOSED_MESSAGE),
    "The question was answered, or has expired, or the run has ended.",
    name="InputClosed",
)
_operation = partial(Operation, tags=[RUNS])
_run_operation = partial(_operation, parameters=[components.RUN_ID_IN_PATH], errors=components.FOUND_RUN_ERRORS)


def blueprint(services: Services) -> Blueprint:
    """Return the blueprint of ``/api/runs``."""
    blueprint = Blueprint("runs", __name__)
    stream = Body.stream(
        *chain.from_iterable(RUN_EVENTS.get(protocol, ()) for protocol in PROTOCOLS),
        fromTheBeginning=lambda: stream_chat.native_stream(projection.SMART),
    )

    @blueprint.get("/api/runs/<run_id>/events")
    @_operation(
        "Resume the stream of a run",
        ResponseSpec("Rest of the stream.", [stream], components.RUN_HEADERS),
        "Streams a run from its beginning or from any position, in any style, language and protocol. Each"
        " character of the answer is sent exactly once; overdue text is sent immediately, and past progress is skipped."
        " Requires the token of the caller that started the run, or the run's ticket.",
        security=("bearer", "ticket"),
        parameters=_EVENTS_PARAMETERS,
        responses={204: ResponseSpec("The client has received the whole stream. `EventSource` stops reconnecting.")},
        errors=(*components.FOUND_RUN_ERRORS, components.INVALID_REQUEST, components.NOT_ACCEPTABLE),
    )
    def read_run(run_id: str) -> Response:
        request = responses.current_request()
        journal = services.runs.follow(run_id, _owner(request, services, run_id))
        transport = negotiation.negotiate_transport(request)
        start = _start_position(request, journal)
        style = _choice("style", services.styles)
        locale = _choice("locale", {each: each for each in i18n.languages()})
        heartbeat = negotiation.negotiate_heartbeat(request, services.settings.heartbeat)
        protocol = _choice("protocol" if "protocol" in request.args else "dialect", PROTOCOLS) or NATIVE
        if cursor.is_at_end(start, journal.entries):
            # EventSource reconnects endlessly after the end of a stream; 204 stops it.
            return Response(status=204)
        return delivery.stream_response(
            request,
            services,
            journal,
            protocol=protocol,
            transport=transport,
            start=start,
            style=style,
            locale=locale,
            heartbeat=heartbeat,
        )

    @blueprint.get("/api/runs/<run_id>")
    @_operation(
        "Get a run",
        _VIEW,
        "Returns the state of a run and its answer so far. With `wait`, this is a long poll.",
        parameters=(components.RUN_ID_IN_PATH, _WAIT),
        errors=(*components.FOUND_RUN_ERRORS, components.INVALID_REQUEST),
    )
    def show_run(run_id: str) -> Response:
        owner = auth.authenticate(responses.current_request(), services.verifier).subject
        seconds = parsing.query_int("wait", 0)
        if seconds > _MAX_WAIT:
            raise InvalidRequest(f"wait: must be at most {_MAX_WAIT} seconds; send the next request afterwards", "wait")
        if seconds == 0:
            return _run_response(services, services.runs.find(run_id, owner))
        journal = services.runs.follow(run_id, owner)
        delivery.long_poll(responses.current_request(), services, journal, seconds)
        return _run_response(services, journal)

    @blueprint.post("/api/runs/<run_id>/cancel")
    @_run_operation("Cancel a run", _VIEW, "Has no effect on a run that has ended.")
    def cancel_run(run_id: str) -> Response:
        owner = auth.authenticate(responses.current_request(), services.verifier).subject
        journal = services.runs.follow(run_id, owner)
        services.runs.cancel(journal)
        return _run_response(services, journal)

    @blueprint.post("/api/runs/<run_id>/input")
    @_operation(
        "Answer a question of a run",
        _VIEW,
        "Answers the open question of a run whose status is `input_required`: the run continues with the answer. A"
        " request that is repeated with the same `Idempotency-Key`, because its response was lost, has no further"
        " effect.",
        parameters=(components.RUN_ID_IN_PATH, components.INPUT_KEY),
        request=_ANSWER,
        errors=(*components.FOUND_RUN_ERRORS, *components.BODY_ERRORS, _INPUT_NOT_FOUND, _INPUT_CLOSED),
    )
    def answer_input(run_id: str) -> Response:
        request = responses.current_request()
        owner = auth.authenticate(request, services.verifier).subject
        journal = services.runs.follow(run_id, owner)
        answer = parsing.parse_json_body(request, _answer_decoder)
        value = content.replace_unencodable(answer.value)
        key = request.headers.get("Idempotency-Key") or secrets.token_hex(8)
        attempt = hashlib.sha256(f"{key}\0{value}".encode()).hexdigest()[:32]
        services.runs.answer_input(journal, facts.InputClosed(answer.input_id, value, attempt))
        return _run_response(services, journal)

    @blueprint.get("/api/runs")
    @_operation(
        "List runs",
        ResponseSpec("A page of runs.", [_LIST]),
        "Returns the caller's runs, newest first.",
        parameters=(
            components.limit_parameter("runs", _MAX_PAGE_SIZE, default=_PAGE_SIZE),
            components.next_page_parameter("before"),
        ),
        errors=components.QUERY_ERRORS,
    )
    def list_runs() -> Response:
        owner = auth.authenticate(responses.current_request(), services.verifier).subject
        limit = parsing.page_limit(_PAGE_SIZE, _MAX_PAGE_SIZE)
        journals, next_page = services.runs.list_for_owner(owner, responses.current_request().args.get("before"), limit)
        views = [_view(services, journal) for journal in journals]
        characters = sum(len(view.data or "") for view in views)
        return responses.json_response(RunList(runs=views, next=next_page), characters=characters)

    return blueprint


def _owner(request: Request, services: Services, run_id: str) -> str | None:
    """Return the owner as whom the client reads the run; ``None`` if a ticket gives access to it.

    Raises:
        Unauthorized: The token or the ticket is missing or invalid.
    """
    ticket = request.args.get("ticket")
    if ticket is None:
        return auth.authenticate(request, services.verifier).subject
    if not services.url_signer.verify(run_id, ticket):
        raise invalid_token("The ticket is not valid for this run: use the complete events_url of its first event")
    return None


def _start_position(request: Request, journal: Journal) -> cursor.Position:
    """Return the position to resume from.

    The header comes first, which ``EventSource`` updates; then the query parameters of its polyfills, which append the
    newest id to the URL; then the one that the application wrote, which they repeat. An empty id counts as missing if
    there is another. A malformed id is rejected even where another one is used, since it would be used without it.

    Raises:
        InvalidRequest: An id is malformed, or the position does not exist.
    """
    by_query = [event_id for name in _EVENT_ID_NAMES for event_id in reversed(request.args.getlist(name))]
    event_ids = [event_id for event_id in (request.headers.get("Last-Event-ID"), *by_query) if event_id]
    run_id = facts.run_terms(journal.entries).run_id
    positions = [cursor.parse(event_id, run_id) for event_id in event_ids]
    characters = parsing.query_int("from", 0)

    def find() -> cursor.Position:
        if positions:
            return cursor.validate(positions[0], journal.entries)
        return cursor.position_at_character(characters, journal.entries)

    try:
        return find()
    except InvalidRequest:
        journal.refresh()  # a client that comes from another process may be ahead of this process's copy
        return find()


def _choice(name: str, choices: Mapping[str, T]) -> T | None:
    text = responses.current_request().args.get(name)
    if text is None:
        return None
    if text not in choices:
        raise InvalidRequest(f"{name}: must be one of {', '.join(choices)}")
    return choices[text]


def _view(services: Services, journal: Journal) -> RunView:
    run_id = facts.run_terms(journal.entries).run_id
    return run_view(
        journal.entries,
        services.clock(),
        services.url_signer.events_url(run_id, responses.url_prefix(responses.current_request())),
        is_still_running=services.runs.has_orphaned_task(run_id),
    )


def _run_response(services: Services, journal: Journal) -> Response:
    view = _view(services, journal)
    response = responses.json_response(view, characters=len(view.data or ""))
    if not facts.has_ended(journal.entries):
        response.headers["Retry-After"] = _RETRY_AFTER
    return response

"""OpenAI's Responses API: ``/v1/responses``, and the responses by their ids."""

from functools import partial
from typing import Annotated, Any, get_args

import msgspec
from flask import Blueprint, Request, Response
from msgspec import Meta, structs

from persona_stream.core import facts
from persona_stream.db.base import DeletedRun
from persona_stream.errors import InvalidRequest, NotFound
from persona_stream.journals.base import Journal
from persona_stream.protocols.openai.schemas import ErrorBody
from persona_stream.protocols.openai_responses import decoder, output, schemas
from persona_stream.protocols.openai_responses.encoder import RESPONSES, ResponsesEncoder, last_sequence_number
from persona_stream.protocols.openai_responses.tools import parse_tool_choice, parse_tools
from persona_stream.runs.base import RunRequest
from persona_stream.web import auth, delivery, negotiation, parsing, response_history, responses, run_requests
from persona_stream.web.openapi import (
    Body,
    EventStreamSpec,
    Operation,
    Parameter,
    ResponseSpec,
    components,
    register_run_events,
)
from persona_stream.web.services import Services

_MAX_PAGE_SIZE = 100
_PAGE_SIZE = 20


def build_run_request(request: Request, services: Services) -> tuple[RunRequest, decoder.CreateResponseRequest]:
    """Return the run request of a request for a response, and its decoded body.

    Raises:
        HTTPError: The request cannot be served; nothing was started.
    """
    principal = auth.authenticate_and_limit(request, services)
    body = parsing.parse_json_body(request, decoder.request_decoder)
    decoder.check_request(body)
    raw = msgspec.json.decode(responses.current_request().body)
    history = response_history.History(conversation_id=body.conversation_id)
    if body.previous_response_id is not None:
        history = response_history.load_history(services, principal.subject, body.previous_response_id)
    own_items = response_history.resolve_references(services, principal.subject, decoder.raw_input_items(raw))
    items = decoder.parse_items([*history.items, *own_items])
    turns = decoder.parse_turns(items)
    instructions = decoder.instruction_turns(body.instructions)
    tools = parse_tools(body.tools, body.tool_choice)
    query = run_requests.build_query(
        request,
        services,
        principal,
        model=body.model,
        turns=[*instructions, *history.turns, *turns],
        tools=tools,
        tool_choice=parse_tool_choice(body.tool_choice, tools),
        parameters=body.parameters,
        turns_field="input",
    )
    run_request = run_requests.build_v1_run_request(
        request,
        services,
        query,
        body,
        conversation_id=history.conversation_id,
        conversation_field="conversation",
        field_names=decoder.FIELD_NAMES,
    )
    stored = decoder.build_stored_request(raw, own_items if body.is_stored else None)
    return structs.replace(
        run_request,
        grace=None if body.background else run_request.grace,
        stored_request=msgspec.json.encode(stored).decode(),
        keeps_exchange=body.is_stored,
        is_logged=body.is_stored,
    ), body


RESPONSE_EVENTS = EventStreamSpec(
    name="ResponseStreamEvent",
    description="Event of OpenAI's Responses protocol, with a type and no id. Comments between events are heartbeats.",
    data=get_args(schemas.ResponseEvent),
    discriminator="type",
    has_type=True,
    end="[DONE]",
)
register_run_events(RESPONSES.name, RESPONSE_EVENTS)
_RESPONSE_ID = Parameter.path("response_id", "Id of the response.", f"{output.RESPONSE_PREFIX}{components.RUN_ID}")
_REQUEST = Body.json(
    decoder.CreateResponseRequest,
    request={
        "model": components.USERNAME,
        "instructions": "Be brief.",
        "input": components.QUESTION,
        "stream": True,
    },
)
_RESPONSE = Body.json(
    schemas.ResponseObject,
    answer=lambda: output.response_object(components.COMPLETE),
)
_STREAM = Body.stream(RESPONSE_EVENTS, answered=lambda: components.render_stream(ResponsesEncoder))
_operation = partial(Operation, tags=[components.OPENAI_TAG], error_bodies=(RESPONSES.error,))
_response_operation = partial(_operation, errors=components.FOUND_RUN_ERRORS)


def blueprint(services: Services) -> Blueprint:
    """Return the blueprint of OpenAI's responses."""
    blueprint = Blueprint("openai_responses", __name__)

    @blueprint.post("/v1/responses")
    @_operation(
        "Create response",
        components.run_started(
            "The response, or with `stream` its events.",
            Body.json(schemas.ResponseObject, ErrorBody, answer=lambda: RESPONSES.response(components.COMPLETE)[1]),
            _STREAM,
        ),
        "For clients of OpenAI's Responses API and of Open Responses: set `base_url` to this server's `/v1` and the API"
        " key to a token. With `background`, the response is returned at once, or streamed, and the run continues"
        " without a connection. While the backend is working, a stream sends a comment every 2 seconds and an event"
        " every 15. `previous_response_id` continues the conversation of an earlier response. Features that the backend"
        " does not support, and tools that OpenAI's servers execute, are rejected; the error names the field. A"
        " response without a stream opens with status 200 after the `commit_window` (25 s); its body may then be an"
        " error.",
        parameters=(*components.V1_PARAMETERS, components.HEARTBEAT),
        request=_REQUEST,
        responses=components.run_failures(ErrorBody),
        errors=components.V1_ERRORS,
    )
    def create_response() -> Response:
        request = responses.current_request()
        run_request, body = build_run_request(request, services)
        heartbeat = negotiation.negotiate_heartbeat(
            request, services.settings.heartbeat
        )  # also validated where it has no effect
        if not body.stream:
            journal = delivery.start_run(services, run_request)
            if body.background:
                response = _state_response(journal)
                response.headers.update(delivery.run_headers(request, journal))
                return response
            return delivery.blocking_response(request, services, journal, RESPONSES)
        transport = negotiation.negotiate_transport(request)
        return delivery.stream_response(
            request,
            services,
            delivery.start_run(services, run_request),
            protocol=RESPONSES,
            transport=transport,
            heartbeat=heartbeat,
        )

    @blueprint.get("/v1/responses/<response_id>")
    @_response_operation(
        "Get response",
        ResponseSpec("The response, or with `stream` its events.", [_RESPONSE, _STREAM]),
        "Returns the response and its output so far, or with `stream=true` its events from the beginning, in any"
        " process, with the sequence numbers that they had. With `starting_after`, the events up to that number are"
        " left out.",
        parameters=(
            _RESPONSE_ID,
            Parameter("query", "stream", "Whether to stream the events.", choices=("true", "false"), default="false"),
            Parameter(
                "query",
                "starting_after",
                "`sequence_number` of the last event received.",
                Annotated[int, Meta(ge=0, le=10**15 - 1)],
            ),
            components.HEARTBEAT,
        ),
        errors=(*components.FOUND_RUN_ERRORS, components.INVALID_REQUEST, components.NOT_ACCEPTABLE),
    )
    def get_response(response_id: str) -> Response:
        request = responses.current_request()
        owner = auth.authenticate(request, services.verifier).subject
        run_id = output.parse_response_id(response_id)
        heartbeat = negotiation.negotiate_heartbeat(request, services.settings.heartbeat)
        starting_after = parsing.query_int("starting_after", -1)
        if not _is_stream_requested(request):
            return _state_response(services.runs.find(run_id, owner))
        journal = services.runs.follow(run_id, owner)
        _validate_position(journal, starting_after)
        return delivery.stream_response(
            request,
            services,
            journal,
            protocol=RESPONSES,
            transport=negotiation.negotiate_transport(request),
            heartbeat=heartbeat,
            starting_after=starting_after,
        )

    @blueprint.post("/v1/responses/<response_id>/cancel")
    @_response_operation(
        "Cancel response",
        ResponseSpec("The response.", [_RESPONSE]),
        "Has no effect on a response that has ended.",
        parameters=[_RESPONSE_ID],
    )
    def cancel_response(response_id: str) -> Response:
        owner = auth.authenticate(responses.current_request(), services.verifier).subject
        journal = services.runs.follow(output.parse_response_id(response_id), owner)
        services.runs.cancel(journal)
        return _state_response(journal)

    @blueprint.delete("/v1/responses/<response_id>")
    @_response_operation(
        "Delete response",
        ResponseSpec.json("The response was deleted.", schemas.DeletedResponse),
        "Ends its run if it is in progress, and deletes it from the runs, the request log and its conversation.",
        parameters=[_RESPONSE_ID],
    )
    def delete_response(response_id: str) -> Response:
        owner = auth.authenticate(responses.current_request(), services.verifier).subject
        run_id = output.parse_response_id(response_id)
        services.runs.delete(services.runs.follow(run_id, owner))
        services.store.enqueue(DeletedRun(owner, run_id))
        return responses.json_response(schemas.DeletedResponse(id=response_id))

    @blueprint.get("/v1/responses/<response_id>/input_items")
    @_response_operation(
        "List input items",
        ResponseSpec("A page of the input items.", [Body.json(schemas.InputItemList)]),
        "Returns the input of the request, newest item first; not that of earlier responses.",
        parameters=(
            _RESPONSE_ID,
            components.limit_parameter("items", _MAX_PAGE_SIZE, default=_PAGE_SIZE),
            Parameter("query", "after", "Id of the last item of the previous page."),
            Parameter("query", "order", "Order of the items.", choices=("asc", "desc"), default="desc"),
        ),
        errors=(*components.FOUND_RUN_ERRORS, components.INVALID_REQUEST),
    )
    def list_input_items(response_id: str) -> Response:
        owner = auth.authenticate(responses.current_request(), services.verifier).subject
        limit = parsing.page_limit(_PAGE_SIZE, _MAX_PAGE_SIZE)
        journal = services.runs.find(output.parse_response_id(response_id), owner)
        stored = output.stored_request(journal.entries)
        if stored.input is None:
            raise NotFound("The input of this response is not stored: it was created with store: false")
        items = decoder.listed_items(stored.input, facts.run_terms(journal.entries).run_id)
        return responses.json_response(_page(items, limit))

    return blueprint


def _state_response(journal: Journal) -> Response:
    characters = sum(len(facts.text_of(entry.fact)) for entry in journal.entries)
    return responses.json_response(output.response_object(journal.entries), characters=characters)


def _is_stream_requested(request: Request) -> bool:
    value = request.args.get("stream", "false").lower()
    if value not in ("true", "false", "1", "0"):
        raise InvalidRequest("stream: must be true or false", "stream")
    return value in ("true", "1")


def _validate_position(journal: Journal, starting_after: int) -> None:
    """Raise ``InvalidRequest`` if no event of the run can have the number yet."""
    if starting_after > last_sequence_number(journal.entries):
        journal.refresh()  # a client that comes from another process may be ahead of this process's copy
        if starting_after > last_sequence_number(journal.entries):
            raise InvalidRequest("starting_after: is beyond what this response has sent", "starting_after")


def _page(items: list[dict[str, Any]], limit: int) -> schemas.InputItemList:
    request = responses.current_request()
    order = request.args.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequest("order: must be asc or desc", "order")
    if order == "desc":
        items = items[::-1]
    after = request.args.get("after")
    if after is not None:
        ids = [item["id"] for item in items]
        if after not in ids:
            raise InvalidRequest("after: must be the id of an item of this response", "after")
        items = items[ids.index(after) + 1 :]
    page = items[:limit]
    return schemas.InputItemList(
        data=page,
        first_id=page[0]["id"] if page else None,
        last_id=page[-1]["id"] if page else None,
        has_more=len(items) > limit,
    )

"""Anthropic's endpoints: ``/v1/messages`` and ``/v1/messages/count_tokens``."""

from functools import partial
from typing import get_args

from flask import Blueprint, Request, Response

from persona_stream.core.query import Parameters, Principal, Query
from persona_stream.core.usage import query_tokens
from persona_stream.protocols.anthropic import decoder, schemas
from persona_stream.protocols.anthropic.encoder import ANTHROPIC, AnthropicEncoder
from persona_stream.runs.base import RunRequest
from persona_stream.web import auth, delivery, negotiation, parsing, responses, run_requests
from persona_stream.web.openapi import Body, EventStreamSpec, Operation, ResponseSpec, components, register_run_events
from persona_stream.web.services import Services

# The field of this protocol for OpenAI's, which queries use.
_FIELD_NAMES = {"response_format": "output_config"}


def build_run_request(request: Request, services: Services) -> tuple[RunRequest, decoder.MessagesRequest]:
    """Return the run request of a request for a message, and its decoded body.

    Raises:
        HTTPError: The request cannot be served; nothing was started.
    """
    principal = auth.authenticate_and_limit(request, services)
    body = parsing.parse_json_body(request, decoder.messages_decoder)
    decoder.check_messages_request(body)
    query = _build_query(request, services, principal, body, parameters=body.parameters)
    conversation_id = body.metadata.conversation_id if body.metadata else None
    run_request = run_requests.build_v1_run_request(
        request, services, query, body, conversation_id=conversation_id, field_names=_FIELD_NAMES
    )
    return run_request, body


def _build_query(
    request: Request, services: Services, principal: Principal, body: decoder.CountTokensRequest, parameters: Parameters
) -> Query:
    tools = decoder.parse_tools(body.tools)
    return run_requests.build_query(
        request,
        services,
        principal,
        model=body.model,
        turns=decoder.parse_turns(body.system, body.messages, parsing.raw_messages()),
        tools=tools,
        tool_choice=decoder.parse_tool_choice(body.tool_choice, tools),
        parameters=parameters,
    )


MESSAGE_EVENTS = EventStreamSpec(
    name="MessageStreamEvent",
    description="Event of Anthropic's protocol, with a type and no id.",
    data=get_args(schemas.MessageEvent),
    discriminator="type",
    has_type=True,
)
register_run_events(ANTHROPIC.name, MESSAGE_EVENTS)
_CONVERSATION = {"model": components.USERNAME, "system": "Be brief.", "messages": list(components.MESSAGES)}
_operation = partial(
    Operation, tags=[components.ANTHROPIC_TAG], security=("key", "bearer"), error_bodies=[schemas.error_body]
)


def blueprint(services: Services) -> Blueprint:
    """Return the blueprint of Anthropic's endpoints."""
    blueprint = Blueprint("anthropic", __name__)

    @blueprint.post("/v1/messages")
    @_operation(
        "Create message",
        components.run_started(
            "The message, or with `stream` its events.",
            Body.json(schemas.Message, schemas.MessageError, answer=lambda: ANTHROPIC.response(components.COMPLETE)[1]),
            Body.stream(MESSAGE_EVENTS, answered=lambda: components.render_stream(AnthropicEncoder)),
        ),
        "For Anthropic clients: set the base URL to this server and the API key to a token. While the backend is"
        " working, a stream sends `ping` every 2 seconds. `X-Run-Id` identifies the run, which can be resumed in any"
        " protocol. Features that the backend does not support (tools, images, formats, prefilled answers) are"
        " rejected; the error names the field. A response without a stream opens with status 200 after the"
        " `commit_window` (25 s); its body may then be an error.",
        parameters=components.V1_PARAMETERS,
        request=Body.json(decoder.MessagesRequest, request={**_CONVERSATION, "max_tokens": 1024, "stream": True}),
        responses=components.run_failures(schemas.MessageError),
        errors=components.V1_ERRORS,
    )
    def create_message() -> Response:
        request = responses.current_request()
        run_request, body = build_run_request(request, services)
        if not body.stream:
            return delivery.blocking_response(request, services, delivery.start_run(services, run_request), ANTHROPIC)
        transport = negotiation.negotiate_transport(request)
        journal = delivery.start_run(services, run_request)
        return delivery.stream_response(request, services, journal, protocol=ANTHROPIC, transport=transport)

    @blueprint.post("/v1/messages/count_tokens")
    @_operation(
        "Count tokens",
        ResponseSpec.json("The token count.", schemas.TokenCount(input_tokens=8)),
        "Estimates the tokens of a conversation without starting a run.",
        request=Body.json(decoder.CountTokensRequest, request=_CONVERSATION),
        errors=(*components.COMMON_ERRORS, *components.BODY_ERRORS, components.MODEL_NOT_FOUND),
    )
    def count_tokens() -> Response:
        request = responses.current_request()
        principal = auth.authenticate(request, services.verifier)
        body = parsing.parse_json_body(request, decoder.count_tokens_decoder)
        decoder.check_messages_request(body)
        query = _build_query(request, services, principal, body, parameters={})
        return responses.json_response(schemas.TokenCount(input_tokens=query_tokens(query)))

    return blueprint

"""``/v1/messages``: Anthropic's protocol, for the clients that speak it already.

Make an order of a request for a message.
"""

from __future__ import annotations

from typing import get_args

from flask import Blueprint, Request, Response

from persona_stream.core.query import Parameters, Principal, Query
from persona_stream.core.usage import query_tokens
from persona_stream.protocols.anthropic.decoder import (
    CountTokensRequest,
    MessagesRequest,
    check_messages_request,
    count_tokens_decoder,
    messages_decoder,
    parse_tool_choice,
    parse_tools,
    parse_turns,
)
from persona_stream.protocols.anthropic.encoder import AnthropicEncoder, message_response
from persona_stream.protocols.anthropic.schemas import Message, MessageError, MessageEvent, TokenCount, error_body
from persona_stream.protocols.base import dump_json
from persona_stream.runs.request import RunRequest
from persona_stream.web.auth import authenticate, authenticate_and_limit
from persona_stream.web.blocking import blocking_response, failed_within_window, final_response
from persona_stream.web.negotiation import require_event_stream
from persona_stream.web.openapi import components, examples
from persona_stream.web.openapi.operations import (
    Body,
    EventStream,
    Operation,
    ResponseSpec,
    Tag,
    describe,
    json_body,
    json_spec,
)
from persona_stream.web.parsing import parse_json_body
from persona_stream.web.responses import current_request
from persona_stream.web.run_requests import build_query, build_v1_run_request
from persona_stream.web.services import Services
from persona_stream.web.streaming import stream_response


def build_run_request(request: Request, desk: Services) -> tuple[RunRequest, MessagesRequest]:
    """Read and check a request for a message, and say what is to be run for it.

    Raises:
        HTTPError: it cannot be served; nothing was started.
    """
    principal = authenticate_and_limit(request, desk)
    asked = parse_json_body(request, messages_decoder)
    check_messages_request(asked)
    query = _query(request, desk, principal, asked, asked.parameters)
    return build_v1_run_request(request, desk, query, asked, names={"response_format": "output_config"}), asked


def build_count_query(request: Request, desk: Services) -> Query:
    """Read and check a request whose tokens shall be counted; give what would be asked.

    Raises:
        HTTPError: nobody could be asked that.
    """
    principal = authenticate(request, desk.verifier)
    asked = parse_json_body(request, count_tokens_decoder)
    check_messages_request(asked)
    return _query(request, desk, principal, asked, {})


def _query(
    request: Request, desk: Services, principal: Principal, asked: CountTokensRequest, parameters: Parameters
) -> Query:
    tools = parse_tools(asked.tools)
    return build_query(
        request,
        desk,
        principal,
        model=asked.model,
        turns=parse_turns(asked.system, asked.messages),
        tools=tools,
        tool_choice=parse_tool_choice(asked.tool_choice, tools),
        parameters=parameters,
    )


ANTHROPIC = Tag("Anthropic", "Anthropic-compatible API, for existing clients.")
MESSAGE_EVENTS = EventStream(
    name="MessageStreamEvent",
    description="Event of Anthropic's protocol, with a type and no id.",
    data=get_args(MessageEvent),
    discriminator="type",
    has_type=True,
)
_SECURITY = ("key", "bearer")
_CONVERSATION = {"model": examples.USERNAME, "system": "Be brief.", "messages": list(examples.MESSAGES)}
_CREATE_MESSAGE = Operation(
    id="createMessage",
    summary="Create message",
    description="For Anthropic clients: set the base URL to this server and the API key to a token. While the backend"
    " is working, a stream sends `ping` every 2 seconds. `X-Run-Id` identifies the run, which can be resumed in any"
    " protocol. Features that the backend does not support (tools, images, formats, prefilled answers) are rejected;"
    " the error names the field.",
    tags=(ANTHROPIC,),
    security=_SECURITY,
    parameters=(components.IDEMPOTENCY_KEY, components.ACCEPT_LANGUAGE),
    request=json_body(MessagesRequest, request={**_CONVERSATION, "max_tokens": 1024, "stream": True}),
    responses={
        200: ResponseSpec(
            description="The message, or with `stream` its events.",
            headers=components.RUN_HEADERS,
            bodies=(
                Body(schema=(Message,), examples={"answer": lambda: message_response(examples.COMPLETE)[1]}),
                Body(
                    events=(MESSAGE_EVENTS,),
                    media_type="text/event-stream",
                    examples={"answered": lambda: examples.render_stream(AnthropicEncoder)},
                ),
            ),
            links=components.RUN_LINKS,
        ),
        **components.run_failures(MessageError),
    },
    errors=(*components.RUN_ERRORS, components.MODEL_NOT_FOUND, components.NOT_ACCEPTABLE),
    error_bodies=(error_body,),
)
_COUNT_TOKENS = Operation(
    id="countTokens",
    summary="Count tokens",
    description="Estimates the tokens of a conversation without starting a run.",
    tags=(ANTHROPIC,),
    security=_SECURITY,
    request=json_body(CountTokensRequest, request=_CONVERSATION),
    responses={200: json_spec("The token count.", TokenCount, TokenCount(input_tokens=8))},
    errors=(*components.COMMON_ERRORS, *components.BODY_ERRORS, components.MODEL_NOT_FOUND),
    error_bodies=(error_body,),
)


def blueprint(desk: Services) -> Blueprint:
    """Give the blueprint of Anthropic's addresses."""
    blueprint = Blueprint("anthropic", __name__)

    @blueprint.post("/v1/messages")
    @describe(_CREATE_MESSAGE)
    def messages() -> Response:
        request = current_request()
        made, asked = build_run_request(request, desk)
        if not asked.stream:
            return blocking_response(request, desk, desk.runs.start(made), message_response)
        require_event_stream(request)
        journal = desk.runs.start(made)
        if failed_within_window(request, desk, journal):
            return final_response(request, desk, journal, message_response)
        return stream_response(request, desk, journal, dialect=AnthropicEncoder(journal.entries))

    @blueprint.post("/v1/messages/count_tokens")
    @describe(_COUNT_TOKENS)
    def count_tokens() -> Response:
        body = dump_json(TokenCount(input_tokens=query_tokens(build_count_query(current_request(), desk))))
        return Response(body, content_type="application/json")

    return blueprint

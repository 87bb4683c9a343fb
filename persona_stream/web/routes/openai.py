"""``/v1/chat/completions``: OpenAI's protocol, for the clients that speak it already.

Make an order of a request for a completion.

What a reader of OpenAI's wire hears while the backend is at work.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Request, Response

from persona_stream.errors import InvalidRequest
from persona_stream.protocols.openai.decoder import (
    ChatCompletionRequest,
    check_completion_request,
    completion_decoder,
    parse_tool_choice,
    parse_tools,
    parse_turns,
)
from persona_stream.protocols.openai.encoder import Heartbeat, OpenAIEncoder, completion_response
from persona_stream.protocols.openai.schemas import ChatCompletion, ChatCompletionChunk, ErrorBody, error_body
from persona_stream.runs.request import RunRequest
from persona_stream.settings.schema import Settings
from persona_stream.web.auth import authenticate_and_limit
from persona_stream.web.blocking import blocking_response, failed_within_window, final_response
from persona_stream.web.negotiation import require_event_stream
from persona_stream.web.openapi import components, examples
from persona_stream.web.openapi.operations import Body, EventStream, Operation, ResponseSpec, Tag, describe, json_body
from persona_stream.web.parsing import parse_json_body
from persona_stream.web.responses import current_request
from persona_stream.web.run_requests import build_query, build_v1_run_request
from persona_stream.web.services import Services
from persona_stream.web.streaming import stream_response

_HEADER = "X-Persona-Heartbeat"
_KINDS: Mapping[str, Heartbeat] = {"comment": "comment", "delta": "delta", "off": "off"}


def heartbeat_mode(request: Request, settings: Settings) -> Heartbeat:
    """Choose: comments, unless the client wishes otherwise and may.

    Raises:
        InvalidRequest: it wishes for what there is not.
    """
    wish = request.headers.get(_HEADER)
    if wish is None or not getattr(settings, "heartbeat_override", True):
        return "comment"
    if wish not in _KINDS:
        raise InvalidRequest(f"{_HEADER}: is none of {', '.join(_KINDS)}", _HEADER)
    return _KINDS[wish]


def build_run_request(request: Request, desk: Services) -> tuple[RunRequest, ChatCompletionRequest]:
    """Read and check a request for a completion, and say what is to be run for it.

    Raises:
        HTTPError: it cannot be served; nothing was started.
    """
    principal = authenticate_and_limit(request, desk)
    asked = parse_json_body(request, completion_decoder)
    check_completion_request(asked)
    tools = parse_tools(asked.tools)
    query = build_query(
        request,
        desk,
        principal,
        model=asked.model,
        turns=parse_turns(asked.messages),
        tools=tools,
        tool_choice=parse_tool_choice(asked.tool_choice, tools),
        parameters=asked.parameters,
    )
    return build_v1_run_request(request, desk, query, asked), asked


OPENAI = Tag("OpenAI", "OpenAI-compatible API, for existing clients.")
COMPLETION_EVENTS = EventStream(
    name="ChatCompletionEvent",
    description="Event of OpenAI's protocol, without id and type. Comments between events are heartbeats.",
    data=(ChatCompletionChunk, ErrorBody),
    end="[DONE]",
)
_CREATE = Operation(
    id="createChatCompletion",
    summary="Create chat completion",
    description="For OpenAI clients: set `base_url` to this server's `/v1` and the API key to a token. While the"
    " backend is working, a stream sends a comment every 2 seconds and an empty chunk every 15. `X-Run-Id` identifies"
    " the run, which can be resumed in any protocol. Features that the backend (tools, formats, images) or the server"
    " (several choices, audio) does not support are rejected; the error names the field.",
    tags=(OPENAI,),
    parameters=(components.IDEMPOTENCY_KEY, components.ACCEPT_LANGUAGE, components.HEARTBEAT),
    request=json_body(
        ChatCompletionRequest,
        request={
            "model": examples.USERNAME,
            "messages": [{"role": "system", "content": "Be brief."}, *examples.MESSAGES],
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    ),
    responses={
        200: ResponseSpec(
            description="The completion, or with `stream` its chunks.",
            headers=components.RUN_HEADERS,
            bodies=(
                Body(schema=(ChatCompletion,), examples={"answer": lambda: completion_response(examples.COMPLETE)[1]}),
                Body(
                    events=(COMPLETION_EVENTS,),
                    media_type="text/event-stream",
                    examples={
                        "answered": lambda: examples.render_stream(
                            lambda journal: OpenAIEncoder(journal, include_usage=True)
                        )
                    },
                ),
            ),
            links=components.RUN_LINKS,
        ),
        **components.run_failures(ErrorBody),
    },
    errors=(*components.RUN_ERRORS, components.MODEL_NOT_FOUND, components.NOT_ACCEPTABLE),
    error_bodies=(error_body,),
)


def blueprint(desk: Services) -> Blueprint:
    """Give the blueprint of OpenAI's own address."""
    blueprint = Blueprint("openai", __name__)

    @blueprint.post("/v1/chat/completions")
    @describe(_CREATE)
    def chat_completions() -> Response:
        request = current_request()
        made, asked = build_run_request(request, desk)
        beat = heartbeat_mode(request, desk.settings)  # what is malformed is refused where it does not count too
        if not asked.stream:
            return blocking_response(request, desk, desk.runs.start(made), completion_response)
        require_event_stream(request)
        journal = desk.runs.start(made)
        if failed_within_window(request, desk, journal):
            return final_response(request, desk, journal, completion_response)
        dialect = OpenAIEncoder(journal.entries, include_usage=asked.includes_usage, heartbeat=beat)
        return stream_response(request, desk, journal, dialect=dialect)

    return blueprint

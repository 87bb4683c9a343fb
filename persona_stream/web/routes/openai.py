"""OpenAI's endpoints: ``/v1/chat/completions``, and for older clients ``/v1/completions``."""

from functools import partial

from flask import Blueprint, Request, Response

from persona_stream.core.query import Turn
from persona_stream.protocols.base import WireProtocol
from persona_stream.protocols.openai import decoder, text_completions
from persona_stream.protocols.openai.encoder import OPENAI, OpenAIEncoder
from persona_stream.protocols.openai.schemas import ChatCompletion, ChatCompletionChunk, ErrorBody
from persona_stream.runs.base import RunRequest
from persona_stream.web import auth, delivery, negotiation, parsing, responses, run_requests
from persona_stream.web.openapi import Body, EventStreamSpec, Operation, components, register_run_events
from persona_stream.web.services import Services


def build_run_request(request: Request, services: Services) -> tuple[RunRequest, decoder.ChatCompletionRequest]:
    """Return the run request of a request for a completion, and its decoded body.

    Raises:
        HTTPError: The request cannot be served; nothing was started.
    """
    principal = auth.authenticate_and_limit(request, services)
    body = parsing.parse_json_body(request, decoder.completion_decoder)
    decoder.check_completion_request(body)
    tools = decoder.parse_tools(body.tools, body.tool_choice)
    query = run_requests.build_query(
        request,
        services,
        principal,
        model=body.model,
        turns=decoder.parse_turns(body.messages, parsing.raw_messages()),
        tools=tools,
        tool_choice=decoder.parse_tool_choice(body.tool_choice, tools),
        parameters=body.parameters,
    )
    label = decoder.conversation_label(body.metadata)
    return run_requests.build_v1_run_request(request, services, query, body, conversation_id=label), body


def _build_text_run_request(
    request: Request, services: Services
) -> tuple[RunRequest, text_completions.TextCompletionRequest]:
    """Return the run request of a request for a text completion, and its decoded body; raises as for chat."""
    principal = auth.authenticate_and_limit(request, services)
    body = parsing.parse_json_body(request, text_completions.request_decoder)
    text_completions.check_request(body)
    query = run_requests.build_query(
        request,
        services,
        principal,
        model=body.model,
        turns=[Turn("user", body.text)],
        parameters=body.parameters,
        turns_field="prompt",
    )
    label = decoder.conversation_label(body.metadata)
    return run_requests.build_v1_run_request(request, services, query, body, conversation_id=label), body


COMPLETION_EVENTS = EventStreamSpec(
    name="ChatCompletionEvent",
    description="Event of OpenAI's protocol, without id and type. Comments between events are heartbeats.",
    data=(ChatCompletionChunk, ErrorBody),
    end="[DONE]",
)
register_run_events(OPENAI.name, COMPLETION_EVENTS)
_REQUEST = Body.json(
    decoder.ChatCompletionRequest,
    request={
        "model": components.USERNAME,
        "messages": [{"role": "system", "content": "Be brief."}, *components.MESSAGES],
        "stream": True,
        "stream_options": {"include_usage": True},
    },
)
_encoder = partial(OpenAIEncoder, include_usage=True)
TEXT_COMPLETION_EVENTS = EventStreamSpec(
    name="TextCompletionEvent",
    description="Event of OpenAI's text completions, without id and type. Comments between events are heartbeats.",
    data=(text_completions.TextCompletion, ErrorBody),
    end="[DONE]",
)
_TEXT_REQUEST = Body.json(
    text_completions.TextCompletionRequest,
    request={"model": components.USERNAME, "prompt": components.QUESTION, "stream": True},
)
_text_encoder = partial(text_completions.TextCompletionEncoder, include_usage=True)
_operation = partial(
    Operation,
    tags=[components.OPENAI_TAG],
    parameters=(*components.V1_PARAMETERS, components.HEARTBEAT),
    responses=components.run_failures(ErrorBody),
    errors=components.V1_ERRORS,
    error_bodies=(OPENAI.error,),
)


def blueprint(services: Services) -> Blueprint:
    """Return the blueprint of OpenAI's endpoint."""
    blueprint = Blueprint("openai", __name__)

    @blueprint.post("/v1/chat/completions")
    @_operation(
        "Create chat completion",
        components.run_started(
            "The completion, or with `stream` its chunks.",
            Body.json(ChatCompletion, ErrorBody, answer=lambda: OPENAI.response(components.COMPLETE)[1]),
            Body.stream(COMPLETION_EVENTS, answered=lambda: components.render_stream(_encoder)),
        ),
        "For OpenAI clients: set `base_url` to this server's `/v1` and the API key to a token. While the backend is"
        " working, a stream sends a comment every 2 seconds and an empty chunk every 15, or the status in chunks, as"
        " Open WebUI (`X-Persona-Heartbeat: status`) and llama.cpp (`return_progress`) display it. `X-Run-Id`"
        " identifies the run, which can be resumed in any protocol. Features that the backend (tools, formats,"
        " images) or the server (several choices, audio) does not support are rejected; the error names the field. A"
        " response without a stream opens with status 200 after the `commit_window` (25 s); its body may then be an"
        " error.",
        request=_REQUEST,
    )
    def create_chat_completion() -> Response:
        request = responses.current_request()
        run_request, body = build_run_request(request, services)
        return respond(request, run_request, body, OPENAI)

    @blueprint.post("/v1/completions")
    @_operation(
        "Create text completion",
        components.run_started(
            "The completion, or with `stream` its chunks.",
            Body.json(
                text_completions.TextCompletion,
                ErrorBody,
                answer=lambda: text_completions.TEXT_COMPLETIONS.response(components.COMPLETE)[1],
            ),
            Body.stream(TEXT_COMPLETION_EVENTS, answered=lambda: components.render_stream(_text_encoder)),
        ),
        "The older form of a chat completion, for clients that still use it: one text as the prompt, and no history,"
        " tools or reasoning. Everything else is as for chat completions.",
        request=_TEXT_REQUEST,
    )
    def create_text_completion() -> Response:
        request = responses.current_request()
        run_request, body = _build_text_run_request(request, services)
        return respond(request, run_request, body, text_completions.TEXT_COMPLETIONS)

    def respond(
        request: Request,
        run_request: RunRequest,
        body: decoder.ChatCompletionRequest | text_completions.TextCompletionRequest,
        protocol: WireProtocol,
    ) -> Response:
        # Also validated where it has no effect.
        heartbeat = negotiation.negotiate_heartbeat(request, services.settings.heartbeat)
        if not body.stream:
            return delivery.blocking_response(request, services, delivery.start_run(services, run_request), protocol)
        transport = negotiation.negotiate_transport(request)
        return delivery.stream_response(
            request,
            services,
            delivery.start_run(services, run_request),
            protocol=protocol,
            transport=transport,
            heartbeat=heartbeat,
            include_usage=body.includes_usage,
            return_progress=body.returns_progress,
        )

    return blueprint

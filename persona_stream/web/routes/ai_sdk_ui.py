"""``/api/ui/chat``: the endpoints of the AI SDK's ``useChat``, with resume and stop."""

from functools import partial
from typing import get_args

from flask import Blueprint, Response
from msgspec import structs

from persona_stream.core import facts
from persona_stream.core.projection import MAX_DELIVERY_SECONDS
from persona_stream.journals.base import Journal
from persona_stream.protocols.ai_sdk_ui import decoder, schemas
from persona_stream.protocols.ai_sdk_ui.encoder import AI_SDK_UI, AISDKUIEncoder
from persona_stream.protocols.native.schemas import Success
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

_PAGE_SIZE = 100

AI_SDK = Tag("AI SDK", "UI message streams for `useChat` of the AI SDK.")
UI_PARTS = EventStreamSpec(
    name="UIMessageStreamPart",
    description="Part of a UI message stream, without id and type.",
    data=get_args(schemas.StreamPart),
    discriminator="type",
    end="[DONE]",
)
register_run_events(AI_SDK_UI.name, UI_PARTS)
_REQUEST = Body.json(
    decoder.UIChatRequest,
    request={
        "id": "chat_123",
        "model": components.USERNAME,
        "messages": [{"id": "1", "role": "user", "parts": [{"type": "text", "text": components.QUESTION}]}],
        "trigger": "submit-message",
    },
)
_CHAT_ID = Parameter.path("chat_id", "Id of the chat.", "chat_123")
_STREAM = Body.stream(
    UI_PARTS, answered=lambda: components.render_stream(lambda journal: AISDKUIEncoder(journal, "en"))
)
_operation = partial(Operation, tags=[AI_SDK], error_bodies=(AI_SDK_UI.error,))


def blueprint(services: Services) -> Blueprint:
    """Return the blueprint of ``/api/ui``."""
    blueprint = Blueprint("ai_sdk_ui", __name__)

    @blueprint.post("/api/ui/chat")
    @_operation(
        "Send a message",
        components.run_started("Stream of the answer.", _STREAM),
        "The address for `DefaultChatTransport` of the AI SDK. Progress comes as transient `data-progress` parts, which"
        " `onData` receives. The id of the chat is that of the conversation. The run continues when the client"
        " disconnects: `useChat` with `resume` gets the stream again.",
        id="sendUIMessage",
        parameters=(components.IDEMPOTENCY_KEY, components.ACCEPT_LANGUAGE),
        request=_REQUEST,
        errors=components.V1_ERRORS,
    )
    def send_ui_message() -> Response:
        request = responses.current_request()
        principal = auth.authenticate_and_limit(request, services)
        body = parsing.parse_json_body(request, decoder.request_decoder)
        query = run_requests.build_query(
            request,
            services,
            principal,
            model=body.model or run_requests.default_name(services, "model"),
            turns=decoder.parse_turns(body),
            parameters={},
            tools=decoder.parse_tools(body.tools),
        )
        run_request = run_requests.build_v1_run_request(request, services, query, body, conversation_id=body.id)
        run_request = structs.replace(
            run_request,
            grace=services.settings.disconnect_grace,  # a client that reloads its page comes back
            # The stored history ends with the answer that is to be generated again.
            continues_conversation=run_request.continues_conversation and body.trigger != "regenerate-message",
        )
        transport = negotiation.negotiate_transport(request)
        return delivery.stream_response(
            request,
            services,
            delivery.start_run(services, run_request),
            protocol=AI_SDK_UI,
            transport=transport,
            message_id=body.continued_message_id,
        )

    @blueprint.get("/api/ui/chat/<chat_id>/stream")
    @_operation(
        "Resume a chat",
        ResponseSpec("Stream of the running answer from its beginning.", [_STREAM], components.RUN_HEADERS),
        "The address that `useChat` with `resume` requests. The newest answer of the chat that is not completely"
        " delivered is sent again from its beginning; the client replaces what it has.",
        id="resumeUIChat",
        parameters=[_CHAT_ID],
        responses={204: ResponseSpec("No answer is in progress.")},
        errors=(*components.COMMON_ERRORS, components.NOT_ACCEPTABLE),
    )
    def resume_ui_chat(chat_id: str) -> Response:
        request = responses.current_request()
        owner = auth.authenticate(request, services.verifier).subject
        transport = negotiation.negotiate_transport(request)
        journal = _find_undelivered(services, owner, chat_id)
        if journal is None:
            return Response(status=204)
        return delivery.stream_response(request, services, journal, protocol=AI_SDK_UI, transport=transport)

    @blueprint.post("/api/ui/chat/<chat_id>/stop")
    @_operation(
        "Stop a chat",
        ResponseSpec.json("No answer is in progress any more.", Success()),
        "Cancels the running answer of the chat. `stop()` of `useChat` only closes the connection: call both.",
        id="stopUIChat",
        parameters=[_CHAT_ID],
        errors=components.COMMON_ERRORS,
    )
    def stop_ui_chat(chat_id: str) -> Response:
        owner = auth.authenticate(responses.current_request(), services.verifier).subject
        journal = _find_undelivered(services, owner, chat_id)
        if journal is not None:
            services.runs.cancel(journal)
        return responses.json_response(Success())

    return blueprint


def _find_undelivered(services: Services, owner: str, chat_id: str) -> Journal | None:
    """Return the newest run of a chat whose answer is not, or not completely delivered, as a journal that grows."""
    settings = services.settings
    # An older run has ended.
    oldest = services.clock() - settings.queue_timeout - settings.longest_timeout - MAX_DELIVERY_SECONDS
    before: str | None = None
    while True:
        journals, before = services.runs.list_for_owner(owner, before, _PAGE_SIZE)
        for journal in journals:
            run = facts.run_terms(journal.entries)
            if journal.entries[0].at < oldest:
                return None
            if run.conversation_id == chat_id and not delivery.is_delivered(services, journal.entries):
                return services.runs.follow(run.run_id, owner)
        if before is None:
            return None

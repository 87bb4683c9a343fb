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
    choice_of,
    completion_decoder,
    tools_of,
    turns,
)
from persona_stream.protocols.openai.encoder import Heartbeat, OpenAI, completion
from persona_stream.runs.request import Order
from persona_stream.settings.schema import Settings
from persona_stream.web.auth import asker
from persona_stream.web.blocking import answer, fails_soon, whole
from persona_stream.web.negotiation import check_streamable
from persona_stream.web.parsing import read
from persona_stream.web.responses import current
from persona_stream.web.run_requests import order_of, query_of
from persona_stream.web.services import Desk
from persona_stream.web.streaming import stream

_HEADER = "X-Persona-Heartbeat"
_KINDS: Mapping[str, Heartbeat] = {"comment": "comment", "delta": "delta", "off": "off"}


def heartbeat(request: Request, settings: Settings) -> Heartbeat:
    """Choose: comments, unless the client wishes otherwise and may.

    Raises:
        InvalidRequest: it wishes for what there is not.
    """
    wish = request.headers.get(_HEADER)
    if wish is None or not settings.heartbeat_override:
        return "comment"
    if wish not in _KINDS:
        raise InvalidRequest(f"{_HEADER}: is none of {', '.join(_KINDS)}", _HEADER)
    return _KINDS[wish]


def order(request: Request, desk: Desk) -> tuple[Order, ChatCompletionRequest]:
    """Read and check a request for a completion, and say what is to be run for it.

    Raises:
        Refusal: it cannot be served; nothing was started.
    """
    principal = asker(request, desk)
    asked = read(request, completion_decoder)
    check_completion_request(asked)
    tools = tools_of(asked.tools)
    query = query_of(
        request,
        desk,
        principal,
        model=asked.model,
        turns=turns(asked.messages),
        tools=tools,
        tool_choice=choice_of(asked.tool_choice, tools),
        parameters=asked.parameters,
    )
    return order_of(request, desk, query, asked), asked


def blueprint(desk: Desk) -> Blueprint:
    """Give the blueprint of OpenAI's own address."""
    blueprint = Blueprint("openai", __name__)

    @blueprint.post("/v1/chat/completions")
    def chat_completions() -> Response:
        request = current()
        made, asked = order(request, desk)
        beat = heartbeat(request, desk.settings)  # what is malformed is refused where it does not count too
        if not asked.stream:
            return answer(request, desk, desk.runs.start(made), completion)
        check_streamable(request)
        journal = desk.runs.start(made)
        if fails_soon(request, desk, journal):
            return whole(request, desk, journal, completion)
        dialect = OpenAI(journal.entries, include_usage=asked.includes_usage, heartbeat=beat)
        return stream(request, desk, journal, dialect=dialect)

    return blueprint

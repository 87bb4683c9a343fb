"""``/v1/messages``: Anthropic's protocol, for the clients that speak it already."""

from __future__ import annotations

from flask import Blueprint, Response

from persona_stream.core.usage import tokens_of
from persona_stream.protocols.anthropic.encoder import Anthropic, message
from persona_stream.protocols.anthropic.schemas import TokenCount
from persona_stream.protocols.base import to_json
from persona_stream.web.accept import check_streamable
from persona_stream.web.answering import answer, fails_soon, whole
from persona_stream.web.anthropic.orders import counted, order
from persona_stream.web.current import current
from persona_stream.web.desk import Desk
from persona_stream.web.streams import stream


def blueprint(desk: Desk) -> Blueprint:
    """Give the blueprint of Anthropic's addresses."""
    blueprint = Blueprint("anthropic", __name__)

    @blueprint.post("/v1/messages")
    def messages() -> Response:
        request = current()
        made, asked = order(request, desk)
        if not asked.stream:
            return answer(request, desk, desk.runs.start(made), message)
        check_streamable(request)
        journal = desk.runs.start(made)
        if fails_soon(request, desk, journal):
            return whole(request, desk, journal, message)
        return stream(request, desk, journal, dialect=Anthropic(journal.entries))

    @blueprint.post("/v1/messages/count_tokens")
    def count_tokens() -> Response:
        body = to_json(TokenCount(input_tokens=tokens_of(counted(current(), desk))))
        return Response(body, content_type="application/json")

    return blueprint

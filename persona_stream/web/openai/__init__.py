"""``/v1/chat/completions``: OpenAI's protocol, for the clients that speak it already."""

from __future__ import annotations

from flask import Blueprint, Response

from persona_stream.protocols.openai.encoder import OpenAI, completion
from persona_stream.web.accept import check_streamable
from persona_stream.web.answering import answer, fails_soon, whole
from persona_stream.web.current import current
from persona_stream.web.desk import Desk
from persona_stream.web.openai.heartbeats import heartbeat
from persona_stream.web.openai.orders import order
from persona_stream.web.streams import stream


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

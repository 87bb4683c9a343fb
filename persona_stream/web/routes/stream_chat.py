"""``/api/stream_chat``, ``/api/stream_chat_advanced``, ``/api/stream_chat_smart``: one base, three styles.

``/api/chat``: the same run, answered once, as JSON, when it is done.
"""

from __future__ import annotations

from flask import Blueprint, Response

from persona_stream.core.projection import ADVANCED, BASIC, SMART, Style
from persona_stream.protocols.native.responses import chat_answer
from persona_stream.web.blocking import answer
from persona_stream.web.negotiation import check_streamable
from persona_stream.web.responses import current
from persona_stream.web.run_requests import order
from persona_stream.web.services import Desk
from persona_stream.web.streaming import stream

ENDPOINTS = {
    "/api/stream_chat": BASIC,
    "/api/stream_chat_advanced": ADVANCED,
    "/api/stream_chat_smart": SMART,
}


def blueprints(desk: Desk) -> list[Blueprint]:
    """Give a blueprint for each of the three streaming endpoints."""
    return [_blueprint(desk, path, style) for path, style in ENDPOINTS.items()]


def _blueprint(desk: Desk, path: str, style: Style) -> Blueprint:
    blueprint = Blueprint(f"stream_chat_{style.name}", __name__)

    @blueprint.post(path)
    def stream_chat() -> Response:
        return _stream_chat_base(desk, style)

    return blueprint


def _stream_chat_base(desk: Desk, style: Style) -> Response:
    """Refuse what can be refused, start the run, and answer with its stream from the beginning."""
    request = current()
    check_streamable(request)
    journal = desk.runs.start(order(request, desk, style, desk.settings.disconnect_grace))
    return stream(request, desk, journal)


def blueprint(desk: Desk) -> Blueprint:
    """Give the blueprint of ``/api/chat``."""
    blueprint = Blueprint("chat", __name__)

    @blueprint.post("/api/chat")
    def chat() -> Response:
        request = current()
        made = order(request, desk, SMART, desk.settings.disconnect_grace_v1)
        return answer(request, desk, desk.runs.start(made), chat_answer)

    return blueprint

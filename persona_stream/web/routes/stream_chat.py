"""``/api/stream_chat``, ``/api/stream_chat_advanced``, ``/api/stream_chat_smart``: one base, three styles.

``/api/chat``: the same run, answered once, as JSON, when it is done.
"""

from __future__ import annotations

from flask import Blueprint, Response

from persona_stream.core.projection import ADVANCED, BASIC, SMART, StreamStyle
from persona_stream.protocols.native.responses import chat_response
from persona_stream.web.blocking import blocking_response
from persona_stream.web.negotiation import require_event_stream
from persona_stream.web.responses import current_request
from persona_stream.web.run_requests import build_run_request
from persona_stream.web.services import Services
from persona_stream.web.streaming import stream_response

ENDPOINTS = {
    "/api/stream_chat": BASIC,
    "/api/stream_chat_advanced": ADVANCED,
    "/api/stream_chat_smart": SMART,
}


def blueprints(desk: Services) -> list[Blueprint]:
    """Give a blueprint for each of the three streaming endpoints."""
    return [_blueprint(desk, path, style) for path, style in ENDPOINTS.items()]


def _blueprint(desk: Services, path: str, style: StreamStyle) -> Blueprint:
    blueprint = Blueprint(f"stream_chat_{style.name}", __name__)

    @blueprint.post(path)
    def stream_chat() -> Response:
        return _stream_chat_base(desk, style)

    return blueprint


def _stream_chat_base(desk: Services, style: StreamStyle) -> Response:
    """Refuse what can be refused, start the run, and answer with its stream from the beginning."""
    request = current_request()
    require_event_stream(request)
    journal = desk.runs.start(build_run_request(request, desk, style, desk.settings.disconnect_grace))
    return stream_response(request, desk, journal)


def blueprint(desk: Services) -> Blueprint:
    """Give the blueprint of ``/api/chat``."""
    blueprint = Blueprint("chat", __name__)

    @blueprint.post("/api/chat")
    def chat() -> Response:
        request = current_request()
        made = build_run_request(request, desk, SMART, desk.settings.disconnect_grace_v1)
        return blocking_response(request, desk, desk.runs.start(made), chat_response)

    return blueprint

"""``/api/chat``: the same run, answered once, as JSON, when it is done."""

from __future__ import annotations

from http import HTTPStatus

from flask import Blueprint, Response, request

from persona_stream.dialects.native.answers import chat_answer
from persona_stream.dialects.writing import to_json
from persona_stream.journals import terms
from persona_stream.styles import SMART
from persona_stream.web.desk import Desk
from persona_stream.web.orders import order
from persona_stream.web.streams import run_headers
from persona_stream.web.waiting import CLIENT_LEFT, wait_with_client


def blueprint(desk: Desk) -> Blueprint:
    """Give the blueprint of ``/api/chat``."""
    blueprint = Blueprint("chat", __name__)

    @blueprint.post("/api/chat")
    def chat() -> Response:
        journal = desk.runs.start(order(request, desk, SMART, desk.settings.disconnect_grace_v1))
        ended = wait_with_client(request, desk, journal)
        status, body = chat_answer(journal.entries) if ended else (CLIENT_LEFT, None)
        response = Response(to_json(body) if body else b"", status, content_type="application/json")
        response.headers.update(run_headers(terms(journal).run_id))
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["Retry-After"] = "2"
        return response

    return blueprint

"""``/api/chat``: the same run, answered once, as JSON, when it is done."""

from __future__ import annotations

from flask import Blueprint, Response

from persona_stream.core.projection import SMART
from persona_stream.protocols.native.responses import chat_answer
from persona_stream.web.answering import answer
from persona_stream.web.current import current
from persona_stream.web.desk import Desk
from persona_stream.web.orders import order


def blueprint(desk: Desk) -> Blueprint:
    """Give the blueprint of ``/api/chat``."""
    blueprint = Blueprint("chat", __name__)

    @blueprint.post("/api/chat")
    def chat() -> Response:
        request = current()
        made = order(request, desk, SMART, desk.settings.disconnect_grace_v1)
        return answer(request, desk, desk.runs.start(made), chat_answer)

    return blueprint

"""``/api/chat``: the same run, answered once, as JSON, when it is done."""

from __future__ import annotations

from http import HTTPStatus

from flask import Blueprint, Response, request

from persona_stream.dialects.native import to_json
from persona_stream.dialects.native.answers import chat_answer
from persona_stream.hub import Alarm
from persona_stream.journals import Journal, has_ended, terms
from persona_stream.styles import SMART
from persona_stream.web.desk import Desk
from persona_stream.web.orders import order
from persona_stream.web.presence import Presence
from persona_stream.web.streams import run_headers


def blueprint(desk: Desk) -> Blueprint:
    """Give the blueprint of ``/api/chat``."""
    blueprint = Blueprint("chat", __name__)

    @blueprint.post("/api/chat")
    def chat() -> Response:
        journal = desk.runs.start(order(request, desk, SMART, desk.settings.disconnect_grace_v1))
        _wait(desk, journal, Presence(request.environ))
        status, body = chat_answer(journal.entries) if has_ended(journal) else (499, None)
        response = Response(to_json(body) if body else b"", status, content_type="application/json")
        response.headers.update(run_headers(terms(journal).run_id))
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["Retry-After"] = "2"
        return response

    return blueprint


def _wait(desk: Desk, journal: Journal, presence: Presence) -> None:
    """Wait for the run's ending, or until the client is gone, which is looked at once an interval."""
    alarm = Alarm()
    leave = desk.runs.join(journal)
    journal.listen(alarm.ring)
    try:
        while not has_ended(journal) and not presence.gone():
            alarm.sleep(SMART.interval)
    finally:
        journal.unlisten(alarm.ring)
        presence.release()
        leave()

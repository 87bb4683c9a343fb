"""``/v1``: OpenAI's protocol, for the clients that speak it already."""

from __future__ import annotations

import secrets
from http import HTTPStatus

from flask import Blueprint, Response, request

from persona_stream.dialects.openai import OpenAI
from persona_stream.dialects.openai.answers import completion
from persona_stream.dialects.openai.frames import Model, ModelList
from persona_stream.dialects.writing import to_json
from persona_stream.journals import Journal, terms
from persona_stream.web.accept import check_streamable
from persona_stream.web.bearer import caller
from persona_stream.web.desk import Desk
from persona_stream.web.openai.heartbeats import heartbeat
from persona_stream.web.openai.orders import order, persona_of
from persona_stream.web.streams import run_headers, stream
from persona_stream.web.waiting import CLIENT_LEFT, wait_with_client


def blueprint(desk: Desk) -> Blueprint:
    """Give the blueprint of OpenAI's addresses."""
    blueprint = Blueprint("openai", __name__)

    @blueprint.post("/v1/chat/completions")
    def chat_completions() -> Response:
        made, asked = order(request, desk)
        if not asked.stream:
            return _answer(desk, desk.runs.start(made))
        check_streamable(request)
        beat = heartbeat(request, desk.settings)
        journal = desk.runs.start(made)
        dialect = OpenAI(journal.entries, include_usage=asked.includes_usage, heartbeat=beat)
        return stream(request, desk, journal, dialect=dialect)

    @blueprint.get("/v1/models")
    def models() -> Response:
        caller(request, desk.verifier)
        names = [desk.backend] if desk.personas is None else list(desk.personas)
        return _json(ModelList(data=[Model(id=name) for name in names]))

    @blueprint.get("/v1/models/<path:model>")
    def model(model: str) -> Response:
        caller(request, desk.verifier)
        persona_of(desk, model)
        return _json(Model(id=model))

    @blueprint.after_app_request
    def name_request(response: Response) -> Response:
        if request.path.startswith("/v1/"):
            response.headers["x-request-id"] = f"req_{secrets.token_hex(12)}"
        return response

    return blueprint


def _answer(desk: Desk, journal: Journal) -> Response:
    """Answer once, when the run is done."""
    ended = wait_with_client(request, desk, journal)
    status, body = completion(journal.entries) if ended else (CLIENT_LEFT, None)
    response = _json(body, status) if body else Response(b"", status)
    response.headers.update(run_headers(terms(journal).run_id))
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = "2"
    elif status != HTTPStatus.OK:
        # OpenAI's clients would try twice again, and run the backend three times for the same failure.
        response.headers["x-should-retry"] = "false"
    return response


def _json(body: object, status: int = 200) -> Response:
    return Response(to_json(body), status, content_type="application/json")

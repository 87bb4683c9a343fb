"""``/dashboard``: the log of requests for whoever runs the server."""

from __future__ import annotations

from functools import cache

import msgspec
from flask import Blueprint, Response, request
from msgspec import Struct

from persona_stream.errors import NotFound
from persona_stream.web import bodies
from persona_stream.web.dashboard import api
from persona_stream.web.dashboard.entry import PATH, check_origin, let_go, let_in
from persona_stream.web.dashboard.files import PAGE, files, served
from persona_stream.web.dashboard.views import Done
from persona_stream.web.desk import Desk
from persona_stream.web.json_answers import json_answer

__all__ = ["PATH", "blueprint"]


class Login(Struct, frozen=True):
    """Whoever logs in brings a token."""

    token: str


_decoder = msgspec.json.Decoder(Login)


def blueprint(desk: Desk) -> Blueprint:
    """Give the blueprint of the dashboard."""
    blueprint = Blueprint("dashboard", __name__)
    found = cache(files)

    @blueprint.get(PATH)
    def page() -> Response:
        return served(found()[PAGE])

    @blueprint.get(f"{PATH}/assets/<name>")
    def asset(name: str) -> Response:
        if name not in found():
            raise NotFound("There is nothing at this address")
        return served(found()[name])

    @blueprint.post(f"{PATH}/login")
    def login() -> Response:
        check_origin(request)
        token = bodies.read(request, _decoder).token
        response = json_answer(Done())
        let_in(response, request, desk.verifier, token)
        return response

    @blueprint.post(f"{PATH}/logout")
    def logout() -> Response:
        check_origin(request)
        response = json_answer(Done())
        let_go(response, request)
        return response

    api.add(blueprint, desk)
    return blueprint

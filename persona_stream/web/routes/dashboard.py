"""``/dashboard``: the log of requests for whoever runs the server.

The page and what it is made of: files of the package, served as they are, and nothing from anywhere else.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Annotated

import msgspec
from flask import Blueprint, Response, request
from msgspec import Meta, Struct

from persona_stream.errors import NotFound
from persona_stream.web.dashboard_auth import PATH, check_origin, clear_session_cookie, set_session_cookie
from persona_stream.web.parsing import parse_json_body
from persona_stream.web.responses import json_response
from persona_stream.web.routes.dashboard_api import Ok, add
from persona_stream.web.services import Services

PAGE = "index.html"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


class StaticFile(Struct, frozen=True):
    """Hold a file, and what kind it is."""

    body: bytes
    kind: str


def load_static_files() -> Mapping[str, StaticFile]:
    """Read them all: a hundred kilobytes."""
    folder = resources.files("persona_stream").joinpath("pages/dashboard")
    return {each.name: StaticFile(each.read_bytes(), _kind(each.name)) for each in folder.iterdir() if each.is_file()}


def static_response(file: StaticFile) -> Response:
    """Answer with a file; a browser that has it keeps its copy, and asks each time whether it still may."""
    response = Response(file.body, content_type=file.kind)
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.add_etag()
    response.make_conditional(request)
    return response


def _kind(name: str) -> str:
    # Not what this machine's tables say of scripts: some know them as text/plain, and no browser runs that.
    known = {".js": "text/javascript", ".css": "text/css"}
    suffix = name[name.rfind(".") :]
    return f"{known.get(suffix) or mimetypes.guess_type(name)[0]}; charset=utf-8"


__all__ = ["PATH", "blueprint"]


class Login(Struct, frozen=True):
    """Login form."""

    token: Annotated[str, Meta(description="JSON Web Token with the scope `admin`.")]


_decoder = msgspec.json.Decoder(Login)


def blueprint(desk: Services) -> Blueprint:
    """Give the blueprint of the dashboard."""
    blueprint = Blueprint("dashboard", __name__)
    found = cache(load_static_files)

    @blueprint.get(PATH)
    def page() -> Response:
        return static_response(found()[PAGE])

    @blueprint.get(f"{PATH}/assets/<name>")
    def asset(name: str) -> Response:
        if name not in found():
            raise NotFound("There is nothing at this address")
        return static_response(found()[name])

    @blueprint.post(f"{PATH}/login")
    def login() -> Response:
        check_origin(request)
        token = parse_json_body(request, _decoder).token
        response = json_response(Ok())
        set_session_cookie(response, request, desk.verifier, token)
        return response

    @blueprint.post(f"{PATH}/logout")
    def logout() -> Response:
        check_origin(request)
        response = json_response(Ok())
        clear_session_cookie(response, request)
        return response

    add(blueprint, desk)
    return blueprint

"""``/dashboard``: the page of the dashboard, its static files, login and logout.

All files are part of the package; the page loads nothing from other hosts.
"""

from collections.abc import Mapping
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Annotated

import msgspec
from flask import Blueprint, Response, request
from msgspec import Meta, Struct

from persona_stream.errors import NotFound
from persona_stream.web import auth
from persona_stream.web.openapi import components
from persona_stream.web.openapi.operations import Body, ErrorSpec, Operation, Parameter, ResponseSpec
from persona_stream.web.parsing import parse_json_body
from persona_stream.web.responses import json_response, page_response
from persona_stream.web.routes.dashboard_api import DASHBOARD, ERRORS, NOT_ADMIN, Ok, add_api_routes
from persona_stream.web.services import Services

PAGE = "index.html"
# Not by the module mimetypes: some systems map .js to text/plain, and browsers refuse to run such a script.
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


class Login(Struct, frozen=True):
    """Login form."""

    token: Annotated[str, Meta(description="JSON Web Token with the scope `admin`.")]


class StaticFile(Struct, frozen=True):
    """Static file, which is a text, and its media type."""

    body: bytes
    media_type: str


_login_decoder = msgspec.json.Decoder(Login)

_OWN_PAGE = Parameter(
    "header",
    auth.DASHBOARD_HEADER,
    "Any value. Browsers send this header only for the dashboard's own page, which prevents CSRF.",
    required=True,
)
_FILE_NOT_FOUND = ErrorSpec(NotFound("File not found"), "No file has this name.", name="FileNotFound")
_operation = partial(Operation, tags=[DASHBOARD], security=())


def blueprint(services: Services) -> Blueprint:
    """Return the blueprint of the dashboard, including its API."""
    blueprint = Blueprint("dashboard", __name__)
    static_files = cache(load_static_files)

    def show(name: str) -> Response:
        file = static_files().get(name)
        if file is None:
            raise NotFound("File not found")
        return page_response(file.body, f"{file.media_type}; charset=utf-8", _POLICY)

    @blueprint.get(auth.DASHBOARD_PATH)
    @_operation("Open the dashboard", ResponseSpec.text("The page.", "text/html"))
    def dashboard() -> Response:
        return show(PAGE)

    @blueprint.get(f"{auth.DASHBOARD_PATH}/assets/<name>")
    @_operation(
        "Get a file of the dashboard",
        ResponseSpec.text("The file.", *_MEDIA_TYPES.values()),
        parameters=[Parameter.path("name", "File name.", "main.js")],
        errors=[_FILE_NOT_FOUND],
    )
    def dashboard_asset(name: str) -> Response:
        return show(name)

    @blueprint.post(f"{auth.DASHBOARD_PATH}/login")
    @_operation(
        "Log in",
        ResponseSpec.json("The user is logged in.", Ok),
        "Sets a cookie that expires with the token.",
        parameters=[_OWN_PAGE],
        request=Body.json(Login),
        errors=(*ERRORS, *components.BODY_ERRORS),
    )
    def dashboard_login() -> Response:
        auth.check_origin(request)
        token = parse_json_body(request, _login_decoder).token
        response = json_response(Ok())
        auth.set_session_cookie(response, request, services.verifier, token)
        return response

    @blueprint.post(f"{auth.DASHBOARD_PATH}/logout")
    @_operation("Log out", ResponseSpec.json("The user is logged out.", Ok), parameters=[_OWN_PAGE], errors=[NOT_ADMIN])
    def dashboard_logout() -> Response:
        auth.check_origin(request)
        response = json_response(Ok())
        auth.clear_session_cookie(response, request)
        return response

    add_api_routes(blueprint, services)
    return blueprint


def load_static_files() -> Mapping[str, StaticFile]:
    """Return all static files of the dashboard by name, about 100 kB."""
    folder = resources.files("persona_stream").joinpath("pages/dashboard")
    files = [file for file in folder.iterdir() if file.is_file()]
    return {file.name: StaticFile(file.read_bytes(), _MEDIA_TYPES[Path(file.name).suffix]) for file in files}

"""``/dashboard``: the page of the dashboard, its static files, login and logout.

All files are part of the package; the page loads nothing from other hosts.
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
from persona_stream.web.dashboard_auth import HEADER, PATH, check_origin, clear_session_cookie, set_session_cookie
from persona_stream.web.openapi import components
from persona_stream.web.openapi.operations import (
    ErrorSpec,
    Operation,
    Parameter,
    describe,
    json_body,
    json_spec,
    text_spec,
)
from persona_stream.web.parsing import parse_json_body
from persona_stream.web.responses import json_response
from persona_stream.web.routes.dashboard_api import DASHBOARD, NOT_ADMIN, Ok, add_api_routes
from persona_stream.web.services import Services

__all__ = ["PATH", "blueprint"]

PAGE = "index.html"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


class Login(Struct, frozen=True):
    """Login form."""

    token: Annotated[str, Meta(description="JSON Web Token with the scope `admin`.")]


class StaticFile(Struct, frozen=True):
    """Static file and its media type."""

    body: bytes
    content_type: str


_login_decoder = msgspec.json.Decoder(Login)

_OWN_PAGE = Parameter(
    name=HEADER,
    location="header",
    description="Any value. Browsers send this header only for the dashboard's own page, which prevents CSRF.",
    required=True,
)
_GET_PAGE = Operation(
    id="dashboard",
    summary="Open the dashboard",
    tags=(DASHBOARD,),
    security=(),
    responses={200: text_spec("The page.", "text/html")},
)
_GET_ASSET = Operation(
    id="dashboardAsset",
    summary="Get a file of the dashboard",
    tags=(DASHBOARD,),
    security=(),
    parameters=(
        Parameter(
            name="name",
            location="path",
            description="File name.",
            type=Annotated[str, Meta(min_length=1)],
            required=True,
            example="main.js",
        ),
    ),
    responses={200: text_spec("The file.", "text/html", "text/css", "text/javascript")},
    errors=(ErrorSpec("FileNotFound", NotFound("File not found"), "No file has this name."),),
)
_LOGIN = Operation(
    id="dashboardLogin",
    summary="Log in",
    description="Sets a cookie that expires with the token.",
    tags=(DASHBOARD,),
    security=(),
    parameters=(_OWN_PAGE,),
    request=json_body(Login),
    responses={200: json_spec("The user is logged in.", Ok)},
    errors=(components.UNAUTHORIZED, NOT_ADMIN, components.INTERNAL, components.UNAVAILABLE, *components.BODY_ERRORS),
)
_LOGOUT = Operation(
    id="dashboardLogout",
    summary="Log out",
    tags=(DASHBOARD,),
    security=(),
    parameters=(_OWN_PAGE,),
    responses={200: json_spec("The user is logged out.", Ok)},
    errors=(NOT_ADMIN,),
)


def blueprint(services: Services) -> Blueprint:
    """Return the blueprint of the dashboard, including its API."""
    blueprint = Blueprint("dashboard", __name__)
    static_files = cache(load_static_files)

    @blueprint.get(PATH)
    @describe(_GET_PAGE)
    def page() -> Response:
        return static_response(static_files()[PAGE])

    @blueprint.get(f"{PATH}/assets/<name>")
    @describe(_GET_ASSET)
    def asset(name: str) -> Response:
        if name not in static_files():
            raise NotFound("File not found")
        return static_response(static_files()[name])

    @blueprint.post(f"{PATH}/login")
    @describe(_LOGIN)
    def login() -> Response:
        check_origin(request)
        token = parse_json_body(request, _login_decoder).token
        response = json_response(Ok())
        set_session_cookie(response, request, services.verifier, token)
        return response

    @blueprint.post(f"{PATH}/logout")
    @describe(_LOGOUT)
    def logout() -> Response:
        check_origin(request)
        response = json_response(Ok())
        clear_session_cookie(response, request)
        return response

    add_api_routes(blueprint, services)
    return blueprint


def load_static_files() -> Mapping[str, StaticFile]:
    """Return all static files of the dashboard by name, about 100 kB."""
    folder = resources.files("persona_stream").joinpath("pages/dashboard")
    return {
        file.name: StaticFile(file.read_bytes(), _content_type(file.name))
        for file in folder.iterdir()
        if file.is_file()
    }


def static_response(file: StaticFile) -> Response:
    """Return a static file, or 304 if the browser has its current version."""
    response = Response(file.body, content_type=file.content_type)
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.add_etag()
    response.make_conditional(request)
    return response


def _content_type(name: str) -> str:
    # Some systems map .js to text/plain, and browsers refuse to run such a script.
    known = {".js": "text/javascript", ".css": "text/css"}
    suffix = name[name.rfind(".") :]
    return f"{known.get(suffix) or mimetypes.guess_type(name)[0]}; charset=utf-8"

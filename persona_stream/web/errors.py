"""Refusals: what can be refused is refused before the first byte, with its true status.

On the streaming endpoints the body is one event of the error form, so that one parser serves; where the client
prefers JSON, and on every other endpoint, it is the same object as JSON. Requests in another dialect have theirs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus

from flask import Flask, Request, Response, request
from werkzeug.exceptions import HTTPException

from persona_stream.core import sse
from persona_stream.errors import HTTPError
from persona_stream.protocols.anthropic.schemas import error_body
from persona_stream.protocols.base import ErrorInfo, dump_json
from persona_stream.protocols.native import encoder as native
from persona_stream.protocols.openai import schemas as openai
from persona_stream.web.negotiation import is_anthropic

logger = logging.getLogger("persona_stream.web")

Tell = Callable[[str, int, str], None]
"""Hears of a refusal: the pattern of the address or ``other``, the status and the code."""

_CODES = {404: "not_found", 405: "method_not_allowed", 406: "not_acceptable", 413: "too_large"}
_TEXTS = {
    404: "There is nothing at this address",
    405: "This address does not take this method",
    413: "The body is over the limit",
}


def register_error_handlers(app: Flask, tell: Tell = lambda endpoint, status, code: None) -> None:
    """Give every error of the application the form of a refusal, and tell of it."""

    def respond(refused: ErrorInfo) -> Response:
        # The pattern of the address, and not what was asked for: strangers write that.
        tell(request.url_rule.rule if request.url_rule else "other", refused.status, refused.code)
        return _written(refused)

    @app.errorhandler(HTTPError)
    def refused(refusal: HTTPError) -> Response:
        response = respond(ErrorInfo(refusal.status, refusal.code, refusal.message, refusal.field))
        response.headers.update(refusal.headers)
        return response

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        status = error.code or 500
        text = _TEXTS.get(status) or error.name
        response = respond(ErrorInfo(status, _CODES.get(status, "invalid_request"), text))
        for name, value in error.get_headers(request.environ):
            if name.lower() not in ("content-type", "content-length"):
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def internal(error: Exception) -> Response:
        # repr: a stranger writes the address, and a newline in it must not forge a line of the log.
        logger.error("%s %r failed", request.method, request.path, exc_info=error)
        return respond(ErrorInfo(500, "internal", "Something went wrong on our side: try again"))


def _written(refused: ErrorInfo) -> Response:
    """Answer in the dialect of the request."""
    if is_anthropic(request):
        return _foreign(error_body(refused), refused)
    if request.path.startswith("/v1/"):
        return _foreign(openai.error_body(refused), refused)
    return _native(refused)


def _native(refused: ErrorInfo) -> Response:
    body = dump_json(native.error_body(refused))
    if is_stream_endpoint(request) and not prefers_json(request):
        return Response(sse.anonymous_event(body), refused.status, content_type=sse.CONTENT_TYPE)
    return _json(body, refused)


def _foreign(body: object, refused: ErrorInfo) -> Response:
    response = _json(dump_json(body), refused)
    if refused.status == HTTPStatus.CONFLICT:
        # Published clients try again after any 409, and this one would stay.
        response.headers["x-should-retry"] = "false"
    return response


def _json(body: bytes, refused: ErrorInfo) -> Response:
    return Response(body, refused.status, content_type="application/json")


def is_stream_endpoint(request: Request) -> bool:
    """Tell whether this address answers with a stream."""
    path = request.path
    return path.startswith("/api/stream_chat") or (path.startswith("/api/runs/") and path.endswith("/events"))


def prefers_json(request: Request) -> bool:
    """Tell whether the client would rather have JSON than events."""
    best = request.accept_mimetypes.best_match(("text/event-stream", "application/json"))
    return best == "application/json"

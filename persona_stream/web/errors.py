"""Error handlers: every error becomes a response in the protocol of the request, with its true HTTP status.

On streaming endpoints of the native protocol the body is one event, so that one parser serves; if the client prefers
JSON, and on every other endpoint, it is the same object as JSON.
"""

import logging
from collections.abc import Callable
from http import HTTPStatus

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from persona_stream.core.sse import ServerSentEvent
from persona_stream.errors import HTTPError
from persona_stream.protocols.base import ErrorInfo, dump_json
from persona_stream.web.negotiation import error_transport, protocol_of

logger = logging.getLogger("persona_stream.web")

OnError = Callable[[str, int, str], None]
"""Called with each error: URL pattern or ``other``, HTTP status, error code."""

_CODES = {404: "not_found", 405: "method_not_allowed", 406: "not_acceptable", 413: "too_large"}
_TEXTS = {404: "Not found", 405: "Method not allowed", 413: "The request body is too large"}


def register_error_handlers(app: Flask, on_error: OnError = lambda endpoint, status, code: None) -> None:
    """Register the handlers of all exceptions; ``on_error`` is called with each error, for metrics."""

    def respond(error: ErrorInfo) -> Response:
        # The pattern, not the requested path: clients choose the path, and metrics labels must be bounded.
        on_error(request.url_rule.rule if request.url_rule else "other", error.status, error.code)
        return _error_response(error)

    @app.errorhandler(HTTPError)
    def handle_http_error(error: HTTPError) -> Response:
        response = respond(ErrorInfo(error.status, error.code, error.message, error.field))
        response.headers.update(error.headers)
        return response

    @app.errorhandler(HTTPException)
    def handle_werkzeug_error(error: HTTPException) -> Response:
        status = error.code or 500
        text = _TEXTS.get(status) or error.name
        response = respond(ErrorInfo(status, _CODES.get(status, "invalid_request"), text))
        for name, value in error.get_headers(request.environ):
            if name.lower() not in ("content-type", "content-length"):
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def handle_unexpected_error(error: Exception) -> Response:
        # repr: the client chooses the path, and a newline in it must not forge a log line.
        logger.error("%s %r failed", request.method, request.path, exc_info=error)
        return respond(ErrorInfo(500, "internal", "Internal server error; try again"))


def _error_response(error: ErrorInfo) -> Response:
    protocol = protocol_of(request)
    body = dump_json(protocol.error(error))
    if transport := error_transport(request, protocol):
        framed = transport.frame(ServerSentEvent(body))
        return Response(framed, error.status, content_type=transport.content_type)
    response = Response(body, error.status, content_type="application/json")
    if protocol.retries_conflicts and error.status == HTTPStatus.CONFLICT:
        # Official clients retry any 409, and this one would not change.
        response.headers["x-should-retry"] = "false"
    return response

"""The Flask application: its routes, the hooks of every request, and the error handlers.

Every error becomes a response in the protocol of the request, with its true HTTP status. On streaming endpoints of the
native protocol the body is one event, so that one parser serves; if the client prefers JSON, and on every other
endpoint, it is the same object as JSON.
"""

import logging
import re
import secrets
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask, Request, Response, request
from flask.sessions import SessionInterface
from werkzeug.exceptions import HTTPException

from persona_stream.core.sse import ServerSentEvent
from persona_stream.errors import HTTPError, InvalidRequest
from persona_stream.logging import current_run_id
from persona_stream.protocols.base import ErrorInfo, dump_json
from persona_stream.runs.base import ResponseSent
from persona_stream.web import auth, cors, local_access, negotiation, proxy_fix, responses, run_requests
from persona_stream.web.routes import (
    ai_sdk_ui,
    anthropic,
    conversations,
    dashboard,
    doctor,
    health,
    openai,
    openai_responses,
    pages,
    personas,
    runs,
    stream_chat,
    websocket,
)
from persona_stream.web.services import EXTENSION, Services

logger = logging.getLogger("persona_stream.web")

OnError = Callable[[str, int, str], None]
"""Called with each error: URL pattern or ``other``, HTTP status, error code."""

_CODES = {404: "not_found", 405: "method_not_allowed", 406: "not_acceptable", 413: "too_large"}
_TEXTS = {404: "Not found", 405: "Method not allowed", 413: "The request body is too large"}
_SLASHES = re.compile("//+")


class _NullSessions(SessionInterface):
    """Session interface without sessions: tokens identify callers."""

    def open_session(self, app: Flask, request: Request) -> None:
        return None


class _Application(Flask):
    session_interface = _NullSessions()

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request at its path without superfluous slashes, which base URLs with a slash at the end bring."""
        path = environ["PATH_INFO"]
        if path.endswith("/") or "//" in path:
            environ["PATH_INFO"] = _SLASHES.sub("/", path).rstrip("/") or "/"
        return super().wsgi_app(environ, start_response)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the view as it is: no view is a coroutine, and Flask would check each of them per request."""
        return func


def create_flask_app(services: Services, *, has_pages: bool = True) -> Flask:
    """Create the application, with or without its pages; the services are in ``app.extensions[EXTENSION]``."""
    app = _Application("persona_stream", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = services.settings.max_body_bytes
    app.extensions[EXTENSION] = services
    register_error_handlers(app, services.metrics.count_error)
    register_middleware(app, services, private_path=auth.DASHBOARD_PATH)
    for routes in (
        stream_chat,
        runs,
        conversations,
        openai,
        openai_responses,
        anthropic,
        ai_sdk_ui,
        personas,
        health,
        doctor,
        websocket,
    ):
        app.register_blueprint(routes.blueprint(services))
    if has_pages:
        app.register_blueprint(dashboard.blueprint(services))
        app.register_blueprint(pages.blueprint())
    stream_chat.check_endpoints(app, services.settings)
    if trusted := services.settings.trusted_proxies:
        app.wsgi_app = proxy_fix.TrustedProxyFix(app.wsgi_app, trusted)  # type: ignore[method-assign] # as documented
    return app


def register_middleware(app: Flask, services: Services, private_path: str) -> None:
    """Register the hooks of every request; pages of other origins may read nothing below ``private_path``."""
    is_open = services.settings.auth == "off"
    policy = cors.CORSPolicy(() if is_open else services.settings.cors_origins, private_path)

    @app.before_request
    def before_request() -> Response | None:
        # A connection serves several requests in one context: the log lines of this one have no run yet.
        current_run_id.set("")
        request = responses.current_request()
        if is_open:
            local_access.require_local_request(request)
        _require_utf8_query(request)
        return policy.preflight(request)

    @app.after_request
    def after_request(response: Response) -> Response:
        request = responses.current_request()
        if header := negotiation.protocol_of(request).request_id_header:
            response.headers[header] = f"req_{secrets.token_hex(12)}"
        policy.add_headers(request, response)
        auth.add_rate_limit_headers(response)
        _record_response(request, response, services)  # last, when the headers are complete
        return response


def _require_utf8_query(request: Request) -> None:
    """Raise InvalidRequest for a query string in another encoding, which werkzeug fails on later."""
    try:
        request.query_string.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("The query string is not UTF-8: percent-encode it") from None


def _record_response(request: Request, response: Response, services: Services) -> None:
    run_id = response.headers.get("X-Run-Id")
    if run_id is not None and request.method == "POST":
        sent = ResponseSent(response.status_code, run_requests.redact_headers(response.headers.items()))
        services.runs.notify(run_id, sent)


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
    protocol = negotiation.protocol_of(request)
    body = dump_json(protocol.error(error))
    if transport := negotiation.error_transport(request, protocol):
        framed = transport.frame(ServerSentEvent(body))
        return Response(framed, error.status, content_type=transport.content_type)
    response = Response(body, error.status, content_type="application/json")
    if protocol.retries_conflicts and error.status == HTTPStatus.CONFLICT:
        # Official clients retry any 409, and this one would not change.
        response.headers["x-should-retry"] = "false"
    return response

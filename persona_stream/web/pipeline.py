"""The way of a request to its view and back: middleware, error handling, and the fast lane.

Every error becomes a response in the protocol of the request, with its true HTTP status. On streaming endpoints of the
native protocol the body is one event, so that one parser serves; if the client prefers JSON, and on every other
endpoint, it is the same object as JSON.

The fast lane has the routes that start and follow runs. Flask's dispatching, contexts and WSGI take as long as the rest
of such a request, so the server of ``serve`` calls their views itself, with the same request object, middleware and
error handling. The routes follow from their descriptions: all that can respond with events, the run endpoints of the
protocols, the handshake of WebSockets, and the routes of their messages.
"""

import logging
import re
import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

from flask import Flask, Request, Response
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule

from persona_stream.core.sse import ServerSentEvent
from persona_stream.errors import HTTPError, InvalidRequest, NotFound
from persona_stream.logging import current_run_id
from persona_stream.protocols.base import ErrorInfo, dump_json
from persona_stream.protocols.registry import is_run_endpoint
from persona_stream.runs.base import ResponseSent
from persona_stream.web import auth, cors, local_access, negotiation, proxy_fix, responses, run_requests, websocket
from persona_stream.web.connections import DISPATCH_KEY
from persona_stream.web.openapi.spec import operation_of
from persona_stream.web.services import Services

logger = logging.getLogger("persona_stream.web")

OnError = Callable[[str, int, str], None]
"""Called with each error: URL pattern or ``other``, HTTP status, error code."""

View = Callable[..., Any]

_CODES = {404: "not_found", 405: "method_not_allowed", 406: "not_acceptable", 413: "too_large"}
_TEXTS = {404: "Not found", 405: "Method not allowed", 413: "The request body is too large"}
_METHODS = ("GET", "POST")
_ARGUMENT = re.compile(r"<(\w+)>")  # one without a converter


class Middleware:
    """Checks before each view, and headers after it; pages of other origins may read nothing of the dashboard."""

    def __init__(self, services: Services) -> None:
        self._is_open = services.settings.auth == "off"
        origins = () if self._is_open else services.settings.cors_origins
        self._policy = cors.CORSPolicy(origins, private_path=auth.DASHBOARD_PATH)
        self._services = services

    def before(self, request: Request) -> Response | None:
        """Return the response to a preflight, or ``None`` for the view; raise ``HTTPError`` to refuse the request."""
        # A connection serves several requests in one context: the log lines of this one have no run yet.
        current_run_id.set("")
        if self._is_open:
            local_access.require_local_request(request)
        _require_utf8_query(request)
        return self._policy.preflight(request)

    def after(self, request: Request, response: Response) -> Response:
        """Add the headers that all responses have, errors included."""
        if header := negotiation.protocol_of(request).request_id_header:
            response.headers[header] = f"req_{secrets.token_hex(12)}"
        self._policy.add_headers(request, response)
        auth.add_rate_limit_headers(response)
        _record_response(request, response, self._services)  # last, when the headers are complete
        return response


def _require_utf8_query(request: Request) -> None:
    """Raise InvalidRequest for a query string in another encoding, which werkzeug fails on later."""
    try:
        request.query_string.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("The query string is not UTF-8: percent-encode it") from None


def _record_response(request: Request, response: Response, services: Services) -> None:
    if not services.runs.reads_requests:
        return
    run_id = response.headers.get("X-Run-Id")
    if run_id is not None and request.method == "POST":
        sent = ResponseSent(response.status_code, run_requests.redact_headers(response.headers.items()))
        services.runs.notify(run_id, sent)


def error_response(request: Request, error: Exception, on_error: OnError) -> Response:
    """Return the response to an exception of a view."""

    def respond(info: ErrorInfo) -> Response:
        # The pattern, not the requested path: clients choose the path, and metrics labels must be bounded.
        on_error(request.url_rule.rule if request.url_rule else "other", info.status, info.code)
        return _encode_error(request, info)

    match error:
        case HTTPError():
            response = respond(ErrorInfo(error.status, error.code, error.message, error.field))
            response.headers.update(error.headers)
            return response
        case HTTPException():
            status = error.code or 500
            text = _TEXTS.get(status) or error.name
            response = respond(ErrorInfo(status, _CODES.get(status, "invalid_request"), text))
            for name, value in error.get_headers(request.environ):
                if name.lower() not in ("content-type", "content-length"):
                    response.headers[name] = value
            return response
        case _:
            # repr: the client chooses the path, and a newline in it must not forge a log line.
            logger.error("%s %r failed", request.method, request.path, exc_info=error)
            return respond(ErrorInfo(500, "internal", "Internal server error; try again"))


def _encode_error(request: Request, error: ErrorInfo) -> Response:
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


class FastRoute(NamedTuple):
    """Route of the fast lane, and the arguments of its view."""

    rule: Rule
    view: View
    arguments: dict[str, str]


class FastLane:
    """Routes of an application that need no Flask.

    Attributes:
        max_body_bytes: limit of request bodies; Flask refuses longer ones.
    """

    def __init__(self, app: Flask, services: Services) -> None:
        """Collect the routes of an application that has all its blueprints, and no hooks besides the package's own."""
        self.max_body_bytes = services.settings.max_body_bytes
        self._middleware = Middleware(services)
        self._on_error = services.metrics.count_error
        self._trusted = services.settings.trusted_proxies
        self._routes: dict[tuple[str, str], FastRoute] = {}
        self._patterns: list[tuple[str, re.Pattern[str], Rule, View]] = []
        for rule in app.url_map.iter_rules():
            view = app.view_functions[rule.endpoint]
            if _is_hot(rule, view):
                for method in rule.methods.intersection(_METHODS) if rule.methods else ():
                    self._add(method, rule, view)

    @property
    def rules(self) -> list[tuple[str, str]]:
        """Method and URL pattern of each route."""
        return [*self._routes, *((method, rule.rule) for method, _, rule, _ in self._patterns)]

    def find(self, method: str, path: str) -> FastRoute | None:
        """Return the route of a request; ``None`` if Flask must serve it."""
        return self._find(method, path)

    def _find(self, method: str, path: str) -> FastRoute | None:
        route = self._routes.get((method, path))
        if route is None:
            for route_method, pattern, rule, view in self._patterns:
                if route_method == method and (found := pattern.fullmatch(path)):
                    return FastRoute(rule, view, found.groupdict())
        return route

    def respond(self, route: FastRoute, environ: dict[str, Any], body: bytes) -> Response:
        """Return the response to a request, which is given as a WSGI environment and a body."""
        if self._trusted:
            environ.update(proxy_fix.forwarded_environ(environ, self._trusted))
        environ[DISPATCH_KEY] = self.dispatch
        return self._respond(route, environ, body)

    def _respond(self, route: FastRoute, environ: dict[str, Any], body: bytes) -> Response:
        # Not in the environ: without the cycle, the memory of a request is freed at once and not by the collector.
        request = responses.HttpRequest(environ, populate_request=False)
        request.url_rule = route.rule
        request.received_body = body
        with responses.serving(request):
            response: Response
            try:
                response = self._middleware.before(request) or route.view(**route.arguments)
            except Exception as error:  # noqa: BLE001 - each becomes a response, and an unexpected one is logged
                response = error_response(request, error, self._on_error)
            return self._middleware.after(request, response)

    def dispatch(self, environ: dict[str, Any], body: bytes) -> Response:
        """Return the response to a message of a WebSocket; its environ has been through ``respond`` or Flask before.

        Raises:
            NotFound: The message names no run, or one that no path can have.
        """
        route = self._find(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        if route is None:
            raise NotFound("Not found")
        return self._respond(route, environ, body)

    def _add(self, method: str, rule: Rule, view: View) -> None:
        pattern = _ARGUMENT.sub(r"(?P<\1>[^/%]+)", re.escape(rule.rule))
        if not rule.arguments:
            self._routes[method, rule.rule] = FastRoute(rule, view, {})
        elif len(rule.arguments) == len(_ARGUMENT.findall(rule.rule)):
            self._patterns.append((method, re.compile(pattern), rule, view))


def _is_hot(rule: Rule, view: View) -> bool:
    if is_run_endpoint(rule.rule) or rule.websocket:
        return True
    if any((method, rule.rule) in websocket.ROUTES for method in rule.methods or ()):
        return True
    operation = operation_of(view)
    return operation is not None and any(body.events for body in operation.response.bodies)

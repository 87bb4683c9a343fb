"""The Flask application: its routes, the hooks of every request, and the error handler."""

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask, Request, Response
from flask.sessions import SessionInterface

from persona_stream.web import proxy_fix, responses, routes
from persona_stream.web.pipeline import Middleware, OnError, error_response
from persona_stream.web.routes import dashboard, pages, stream_chat
from persona_stream.web.services import EXTENSION, Services

_SLASHES = re.compile("//+")


class _NullSessions(SessionInterface):
    """Session interface without sessions: tokens identify callers."""

    def open_session(self, app: Flask, request: Request) -> None:
        return None


class _Application(Flask):
    request_class = responses.HttpRequest
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


def _api_modules() -> Iterator[Any]:
    """Yield the modules of ``web/routes`` except those of pages, so that a new one needs no registration."""
    for found in pkgutil.iter_modules(routes.__path__, f"{routes.__name__}."):
        module = importlib.import_module(found.name)
        if module not in (dashboard, pages):
            yield module


def create_flask_app(services: Services, *, has_pages: bool = True) -> Flask:
    """Create the application, with or without its pages; the services are in ``app.extensions[EXTENSION]``."""
    app = _Application("persona_stream", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = services.settings.max_body_bytes
    app.extensions[EXTENSION] = services
    register_error_handlers(app, services.metrics.count_error)
    register_middleware(app, Middleware(services))
    for module in _api_modules():
        app.register_blueprint(module.blueprint(services))
    if has_pages:
        app.register_blueprint(dashboard.blueprint(services))
        app.register_blueprint(pages.blueprint())
    stream_chat.check_endpoints(app, services.settings)
    if trusted := services.settings.trusted_proxies:
        app.wsgi_app = proxy_fix.TrustedProxyFix(app.wsgi_app, trusted)  # type: ignore[method-assign] # as documented
    return app


def register_middleware(app: Flask, middleware: Middleware) -> None:
    """Register the hooks of every request."""
    app.before_request(lambda: middleware.before(responses.current_request()))
    app.after_request(lambda response: middleware.after(responses.current_request(), response))


def register_error_handlers(app: Flask, on_error: OnError = lambda endpoint, status, code: None) -> None:
    """Register the handler of all exceptions; ``on_error`` is called with each error, for metrics."""

    @app.errorhandler(Exception)
    def handle(error: Exception) -> Response:
        return error_response(responses.current_request(), error, on_error)

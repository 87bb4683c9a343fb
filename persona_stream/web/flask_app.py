"""The Flask application: routes, middleware and error handlers."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Request
from flask.sessions import SessionInterface

from persona_stream.web import auth, middleware, proxy_fix
from persona_stream.web.routes import (
    anthropic,
    conversations,
    dashboard,
    health,
    openai,
    pages,
    personas,
    runs,
    stream_chat,
)
from persona_stream.web.services import EXTENSION, Services


class _NullSessions(SessionInterface):
    """Session interface without sessions: tokens identify callers."""

    def open_session(self, app: Flask, request: Request) -> None:
        return None


class _Application(Flask):
    session_interface = _NullSessions()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the view as it is: no view is a coroutine, and Flask would check each of them per request."""
        return func


def create_flask_app(services: Services) -> Flask:
    """Create the application; the services are in ``app.extensions[EXTENSION]``."""
    app = _Application("persona_stream", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = services.settings.max_body_bytes
    app.extensions[EXTENSION] = services
    middleware.register_error_handlers(app, services.metrics.count_error)
    middleware.register_middleware(app, services, private_path=auth.DASHBOARD_PATH)
    for routes in (stream_chat, runs, conversations, openai, anthropic, personas, health, dashboard):
        app.register_blueprint(routes.blueprint(services))
    app.register_blueprint(pages.blueprint())
    if trusted := services.settings.trusted_proxies:
        app.wsgi_app = proxy_fix.TrustedProxyFix(app.wsgi_app, trusted)  # type: ignore[method-assign] # Flask's documented way
    return app

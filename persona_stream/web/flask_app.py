"""Everything that has an address, as one WSGI application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Request
from flask.sessions import SessionInterface

from persona_stream.web import cors, openapi
from persona_stream.web.auth import add_rate_limit_headers
from persona_stream.web.errors import register_error_handlers
from persona_stream.web.middleware import record_response, require_utf8_query, reset_log_context
from persona_stream.web.proxy_fix import TrustedProxyFix
from persona_stream.web.routes import (
    anthropic,
    conversations,
    dashboard,
    health,
    models,
    openai,
    pages,
    personas,
    runs,
    stream_chat,
)
from persona_stream.web.services import Services


class _NoSessions(SessionInterface):
    def open_session(self, app: Flask, request: Request) -> None:
        """Know nobody: who asks is in the token, and nothing is kept between requests."""


class _Site(Flask):
    session_interface = _NoSessions()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Know that none of our functions is a coroutine, and do not look at each for each request."""
        return func


def create_flask_app(desk: Services) -> Flask:
    """Put it together."""
    app = _Site("persona_stream", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = desk.settings.max_body_bytes
    reset_log_context(app)
    register_error_handlers(app, desk.metrics.count_error)
    require_utf8_query(app)
    record_response(app, desk)  # the first of its kind sees a response last, when all its headers are there
    add_rate_limit_headers(app)
    cors.allow_origins(app, desk.settings.cors_origins, own=dashboard.PATH)
    for blueprint in (
        *stream_chat.blueprints(desk),
        stream_chat.blueprint(desk),
        runs.blueprint(desk),
        conversations.blueprint(desk),
        openai.blueprint(desk),
        anthropic.blueprint(desk),
        models.blueprint(desk),
        personas.blueprint(desk),
        health.blueprint(desk),
        dashboard.blueprint(desk),
        openapi.blueprint(),
        pages.blueprint(),
    ):
        app.register_blueprint(blueprint)
    if trusted := desk.settings.trusted_proxies:
        app.wsgi_app = TrustedProxyFix(app.wsgi_app, trusted)  # type: ignore[method-assign] # as Flask has it
    return app

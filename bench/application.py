"""Application for a foreign WSGI server: ``gunicorn --worker-class gevent "bench.application:create()"``."""

from __future__ import annotations

from flask import Flask

from bench.workload import SECRET
from persona_stream import create_app
from persona_stream.settings.schema import Settings


def create() -> Flask:
    """Create the application with the settings of ``bench.servers.OURS``."""
    return create_app(
        Settings(
            backend="bench.backend:answer",
            executor="greenlet",
            jwt_secret=SECRET,
            database_url=None,
            log_level="warning",
        )
    )

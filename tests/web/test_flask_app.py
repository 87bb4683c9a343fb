"""Tests of the Flask application."""

from __future__ import annotations

import logging

import pytest
from flask import Flask

from persona_stream.web.flask_app import register_error_handlers


def test_a_path_cannot_forge_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    """Its line ends and escapes are logged visibly; the client sees nothing of the exception."""
    app = Flask("failing")
    register_error_handlers(app)

    @app.get("/<name>")
    def fail(name: str) -> str:
        raise ValueError("a detail")

    with caplog.at_level(logging.ERROR, logger="persona_stream.web"):
        response = app.test_client().get("/x%0d%0a2026-11-20 INFO%20forged%1b[2J")
    assert (response.status_code, "a detail" in response.text, "forged" in response.text) == (500, False, False)
    assert caplog.messages == [r"GET '/x\r\n2026-11-20 INFO forged\x1b[2J' failed"]

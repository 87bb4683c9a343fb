"""What a failure of ours says, and to whom."""

from __future__ import annotations

import logging

import pytest
from flask import Flask

from persona_stream.web.errors import register_error_handlers


def test_an_address_forges_no_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """It is written as a text, with its line ends and escapes visible; and the client reads nothing of the error."""
    app = Flask("failing")
    register_error_handlers(app)

    @app.get("/<name>")
    def fail(name: str) -> str:
        raise ValueError("a detail")

    with caplog.at_level(logging.ERROR, logger="persona_stream.web"):
        response = app.test_client().get("/x%0d%0a2026-11-20 INFO%20forged%1b[2J")
    assert (response.status_code, "a detail" in response.text, "forged" in response.text) == (500, False, False)
    assert caplog.messages == [r"GET '/x\r\n2026-11-20 INFO forged\x1b[2J' failed"]

"""The question, and the requests it makes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from persona_stream.client import requests as requesting
from persona_stream.client.models import NotTextError, Question


def test_what_is_not_given_is_left_out() -> None:
    """The server's own defaults hold then."""
    assert Question(username="u", message="m").fields() == {"username": "u", "message": "m", "locale": "zh"}


def test_everything_can_be_given() -> None:
    """Under the names of the wire."""
    given: dict[str, Any] = {
        "username": "u", "message": "m", "prompt": "", "prompt_mode": "replace", "conversation_id": "c",
        "chunking": "words", "locale": "en", "reasoning": True,
    }  # fmt: skip
    assert Question(**given).fields() == given


@pytest.mark.parametrize("name", ["username", "message", "prompt", "conversation_id"])
def test_bytes_that_are_no_text_are_named(name: str) -> None:
    """Python hands them over as lone surrogates, which JSON could not carry."""
    with pytest.raises(NotTextError, match=f"^{name}$"):
        Question(**{"username": "u", "message": "m", name: "a\udcff"})


def test_the_request_is_ascii_json() -> None:
    """So no proxy can get its encoding wrong."""
    request = requesting.ask(Question(username="u", message="你好"), idempotency_key="k", silence=20.0)
    assert request.body is not None
    assert request.body.isascii()
    assert json.loads(request.body)["message"] == "你好"


def test_ids_from_a_server_point_nowhere_else() -> None:
    """They are quoted in an address, and are bytes in a header."""
    assert requesting.cancel("../../admin?x=1#y", locale="en").path == "/api/runs/..%2F..%2Fadmin%3Fx%3D1%23y/cancel"
    request = requesting.resume("r", "r/1.0你", locale="zh", silence=20.0)
    assert request.headers["Last-Event-ID"] == "r/1.0你".encode()
    assert "Last-Event-ID" not in requesting.resume("r", "", locale="zh", silence=20.0).headers

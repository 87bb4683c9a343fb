"""The question, and the requests it makes.

The JSON of the server, read with suspicion.

Addresses and tokens.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.client.models import (
    BadAddressError,
    BadTokenError,
    NotTextError,
    Question,
    Server,
    parse_json,
    parse_reply,
)
from persona_stream.client.requests import ask, cancel, resume
from tests.client.fakes import COMPLETE, OPENING, failure, piece


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
    request = ask(Question(username="u", message="你好"), idempotency_key="k", silence=20.0)
    assert request.body is not None
    assert request.body.isascii()
    assert json.loads(request.body)["message"] == "你好"


def test_ids_from_a_server_point_nowhere_else() -> None:
    """They are quoted in an address, and are bytes in a header."""
    assert cancel("../../admin?x=1#y", locale="en").path == "/api/runs/..%2F..%2Fadmin%3Fx%3D1%23y/cancel"
    request = resume("r", "r/1.0你", locale="zh", silence=20.0)
    assert request.headers["Last-Event-ID"] == "r/1.0你".encode()
    assert "Last-Event-ID" not in resume("r", "", locale="zh", silence=20.0).headers


JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just({}) | st.just([1])


def test_an_opening_is_read() -> None:
    """Ids, deadline, status."""
    found = parse_reply(OPENING)
    assert (found.run_id, found.conversation_id, found.deadline, found.progress) == ("run-1", "talk-1", 150.0, 5.0)
    assert (found.is_last, found.text) == (False, "")


def test_a_piece_an_ending_and_a_failure_are_read() -> None:
    """Text, the mark of the last event, code and error."""
    assert parse_reply(piece("abc")).text == "abc"
    assert (parse_reply(COMPLETE).is_last, parse_reply(COMPLETE).total_time) == (True, 8.2)
    found = parse_reply(failure("lost", "gone"))
    assert (found.is_last, found.code, found.error) == (True, "lost", "gone")


@given(st.dictionaries(st.sampled_from(["status", "data", "progress", "eta", "is_complete", "error", "run_id"]), JSON))
def test_any_type_in_any_field_is_survived(payload: dict[str, object]) -> None:
    """A field of another type counts as missing."""
    found = parse_reply(payload)
    assert found.payload == payload
    assert isinstance(found.text, str)
    assert found.progress is None or 0 <= found.progress < 1e9
    assert found.is_last is (payload.get("is_complete") is True)


@pytest.mark.parametrize("number", ["true", '"5"', "NaN", "Infinity", "-1", "1e400", "1" * 400, "null"])
def test_what_is_no_sensible_number_is_none(number: str) -> None:
    """Python's JSON knows more numbers than a progress bar does."""
    found = parse_json(f'{{"progress": {number}}}')
    assert found is not None
    assert found.progress is None


@pytest.mark.parametrize("data", ["", "{", "[]", "null", "1", "[" * 100_000, '{"a":' * 100_000, b"\xff", "1" * 5000])
def test_what_is_no_object_is_none(data: str | bytes) -> None:
    """No text, however long or deep, gets further than here."""
    assert parse_json(data) is None


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://127.0.0.1:5001", "http://127.0.0.1:5001/api/chat"),
        ("http://127.0.0.1:5001/", "http://127.0.0.1:5001/api/chat"),
        ("https://example.org/below/here/", "https://example.org/below/here/api/chat"),
        ("http://[::1]:5001", "http://[::1]:5001/api/chat"),
    ],
)
def test_paths_go_below_the_address(url: str, path: str) -> None:
    """A prefix is kept, and a slash at the end is no matter."""
    assert Server(url, "t").at("/api/chat") == path


@pytest.mark.parametrize(
    "url",
    ["", "localhost:5001", "127.0.0.1", "ftp://x", "http://", "http://:80", "http://x:99999", "http://x:y", "http://x:0",
     "http://[::1", "http://x y", "http://x/?a=1", "http://x/#a", "http://x\n", "file:///etc/passwd"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(BadAddressError):
        Server(url, "t")


def test_a_token_loses_the_space_around_it() -> None:
    """It was pasted; and it is not shown by accident."""
    server = Server("http://x", " abc.def\n")
    assert server.token == "abc.def"
    assert "abc" not in repr(server)


@pytest.mark.parametrize("token", ["", "  ", "Bearer abc", "a\nb", "a\x00", "tökén", "令牌"])
def test_what_no_header_can_carry_is_no_token(token: str) -> None:
    """It is said here, and not as an error of some library."""
    with pytest.raises(BadTokenError):
        Server("http://x", token)

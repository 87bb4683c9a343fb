"""Questions and their requests, parsing of the server's JSON, URLs and tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.client.models import (
    InvalidArgument,
    Question,
    ServerConfig,
    build_cancel,
    build_resume,
    build_start,
    parse_json,
    parse_reply,
)
from persona_stream.core.content import Attachment
from tests.client.fakes import COMPLETE, OPENING, chunk, failure


def test_fields_without_a_value_are_not_sent() -> None:
    """The server's defaults apply."""
    assert Question(username="u", message="m").body() == {"username": "u", "message": "m", "locale": "zh"}


def test_every_field_is_sent_under_its_name_on_the_wire() -> None:
    """Also an empty prompt."""
    given: dict[str, Any] = {
        "username": "u", "message": "m", "prompt": "", "prompt_mode": "replace", "conversation_id": "c",
        "chunking": "words", "locale": "en", "reasoning": True,
    }  # fmt: skip
    attachments = (Attachment("data:image/png;base64,AAAA", name="a.png"), Attachment("https://x/b", type="file"))
    sent = [
        {"type": "image", "url": "data:image/png;base64,AAAA", "name": "a.png"},
        {"type": "file", "url": "https://x/b"},
    ]
    assert Question(**given).body() == given
    assert Question(**given, attachments=attachments).body() == {**given, "attachments": sent}


@pytest.mark.parametrize("name", ["username", "message", "prompt", "conversation_id"])
def test_an_argument_that_is_not_utf8_is_rejected_by_name(name: str) -> None:
    """Python passes such bytes as lone surrogates, which JSON cannot carry."""
    with pytest.raises(InvalidArgument, match=r"^not_unicode$") as caught:
        Question(**{"username": "u", "message": "m", name: "a\udcff"})
    assert caught.value.values == {"field": name}


def test_the_request_body_is_ascii_json() -> None:
    """No proxy can get its encoding wrong."""
    request = build_start(Question(username="u", message="你好"), "k")
    assert request.body is not None
    assert request.body.isascii()
    assert json.loads(request.body)["message"] == "你好"


def test_ids_from_a_server_are_quoted() -> None:
    """Percent-encoded in a path, UTF-8 in a header."""
    assert build_cancel("../../admin?x=1#y", locale="en").path == "/api/runs/..%2F..%2Fadmin%3Fx%3D1%23y/cancel"
    request = build_resume("r", "r/1.0你", locale="zh")
    assert request.headers["Last-Event-ID"] == "r/1.0你".encode()
    assert "Last-Event-ID" not in build_resume("r", "", locale="zh").headers


JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just({}) | st.just([1])


def test_the_first_event_is_parsed() -> None:
    """Ids, deadline and progress."""
    found = parse_reply(OPENING)
    assert (found.run_id, found.conversation_id, found.deadline, found.progress) == ("run-1", "talk-1", 150.0, 5.0)
    assert (found.is_complete, found.data) == (False, "")


def test_text_and_terminal_events_are_parsed() -> None:
    """Text, the mark of the last event, code and error."""
    assert parse_reply(chunk("abc")).data == "abc"
    assert parse_reply(COMPLETE).is_complete
    found = parse_reply(failure("lost", "gone"))
    assert (found.is_complete, found.code, found.error) == (True, "lost", "gone")


@given(st.dictionaries(st.sampled_from(["status", "data", "progress", "eta", "is_complete", "error", "run_id"]), JSON))
def test_a_field_of_another_type_counts_as_missing(payload: dict[str, object]) -> None:
    """For any JSON that a server sends."""
    found = parse_reply(payload)
    assert found.payload == payload
    assert isinstance(found.data, str)
    assert found.progress is None or 0 <= found.progress < 1e9
    assert found.is_complete is (payload.get("is_complete") is True)


@pytest.mark.parametrize("number", ["true", '"5"', "NaN", "Infinity", "-1", "1e400", "1" * 400, "null"])
def test_an_implausible_number_is_none(number: str) -> None:
    """Python's JSON parser accepts more numbers than a progress bar can show."""
    found = parse_json(f'{{"progress": {number}}}')
    assert found is not None
    assert found.progress is None


@pytest.mark.parametrize("data", ["", "{", "[]", "null", "1", "[" * 100_000, '{"a":' * 100_000, b"\xff", "1" * 5000])
def test_other_data_than_an_object_is_none(data: str | bytes) -> None:
    """However long or deeply nested."""
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
def test_paths_are_appended_to_the_base_url(url: str, path: str) -> None:
    """A prefix is kept, a trailing slash makes no difference."""
    assert ServerConfig(url, "t").url_for("/api/chat") == path


@pytest.mark.parametrize(
    "url",
    ["", "localhost:5001", "127.0.0.1", "ftp://x", "http://", "http://:80", "http://x:99999", "http://x:y", "http://x:0",
     "http://[::1", "http://x y", "http://x/?a=1", "http://x/#a", "http://x\n", "file:///etc/passwd"],
)  # fmt: skip
def test_an_invalid_url_is_rejected(url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidArgument, match=r"^invalid_url$"):
        ServerConfig(url, "t")


def test_a_token_is_stripped_and_kept_out_of_the_repr() -> None:
    """A pasted token often has a newline."""
    server = ServerConfig("http://x", " abc.def\n")
    assert server.token == "abc.def"
    assert "abc" not in repr(server)


@pytest.mark.parametrize("token", ["", "  ", "Bearer abc", "a\nb", "a\x00", "tökén", "令牌"])
def test_a_token_that_no_header_can_carry_is_rejected(token: str) -> None:
    """Here, and not as an error of the HTTP library."""
    with pytest.raises(InvalidArgument, match=r"^token_malformed$"):
        ServerConfig("http://x", token)

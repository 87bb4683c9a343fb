"""Errors before the first byte of a stream, with their true HTTP status."""

from __future__ import annotations

import json
import socket
import time

import jwt
import pytest
import requests

from tests.server_process import SECRET, ServerProcess, serve, token
from tests.sse_client import read

STREAMS = ["/api/stream_chat", "/api/stream_chat_advanced", "/api/stream_chat_smart"]
SMART = STREAMS[2]
GOOD = {"username": "quick", "message": "Hi"}


@pytest.mark.parametrize("path", STREAMS)
def test_an_error_of_a_streaming_endpoint_is_one_event(server: ServerProcess, path: str):
    """So that one parser serves; it has no id, since it belongs to no run."""
    response = server.post(path, {"username": "quick"})
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    (event,) = read(response)
    assert event.id is None
    assert event.data == {
        "success": False, "error": "message: is required", "code": "invalid_request", "status": "error",
        "is_complete": True,
    }  # fmt: skip
    assert "X-Run-Id" not in response.headers


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "text/event-stream"),
        ("*/*", "text/event-stream"),
        ("text/event-stream", "text/event-stream"),
        ("text/event-stream, application/json;q=0.5", "text/event-stream"),
        ("application/json", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("application/json, text/event-stream;q=0.5", "application/json"),
    ],
)
def test_a_client_that_prefers_json_receives_the_same_object_as_json(
    server: ServerProcess, accept: str | None, kind: str
):
    """According to its Accept header."""
    response = server.post(SMART, {}, headers={"Accept": accept})
    assert response.headers["Content-Type"].startswith(kind)
    assert json.loads(response.text.removeprefix("data: "))["code"] == "invalid_request"


FIELDS = [
    ({"username": "", "message": "Hi"}, "username"),
    ({"username": "x" * 65, "message": "Hi"}, "username"),
    ({"username": 5, "message": "Hi"}, "username"),
    ({**GOOD, "persona": "other"}, "persona"),
    ({"persona": "", "message": "Hi"}, "persona"),
    ({"username": ["a"], "message": "Hi"}, "username"),
    ({"username": "quick"}, "message"),
    ({"username": "quick", "message": ""}, "message"),
    ({"username": "quick", "message": " \n\t "}, "message"),
    ({"username": "quick", "message": "x" * 32_769}, "message"),
    ({"username": "quick", "message": {"text": "Hi"}}, "message"),
    ({**GOOD, "prompt": "x" * 32_769}, "prompt"),
    ({**GOOD, "prompt": 1}, "prompt"),
    ({**GOOD, "prompt_mode": "prepend"}, "prompt_mode"),
    ({**GOOD, "prompt_mode": "Append"}, "prompt_mode"),
    ({**GOOD, "conversation_id": ""}, "conversation_id"),
    ({**GOOD, "conversation_id": "x" * 129}, "conversation_id"),
    ({**GOOD, "conversation_id": "a b"}, "conversation_id"),
    ({**GOOD, "conversation_id": "a\r\nSet-Cookie: x=y"}, "conversation_id"),
    ({**GOOD, "conversation_id": "a\n"}, "conversation_id"),
    ({**GOOD, "conversation_id": "你好"}, "conversation_id"),
    ({**GOOD, "chunking": "letters"}, "chunking"),
    ({**GOOD, "chunking": True}, "chunking"),
    ({**GOOD, "locale": "fr"}, "locale"),
    ({**GOOD, "locale": "zh\r\nX: y"}, "locale"),
    ({**GOOD, "reasoning": "yes"}, "reasoning"),
    ({**GOOD, "reasoning": 1}, "reasoning"),
]


@pytest.mark.parametrize(("body", "field"), FIELDS)
def test_an_invalid_field_is_named(server: ServerProcess, body: dict[str, object], field: str):
    """In the one sentence that the client receives."""
    response = server.post("/api/chat", body)
    assert response.status_code == 400
    assert response.json()["error"].startswith(f"{field}: ")


@pytest.mark.parametrize(
    "body",
    [
        {**GOOD, "prompt": None, "prompt_mode": None, "conversation_id": None, "chunking": None, "locale": None,
         "reasoning": None},
        {**GOOD, "unknown": {"deep": [1, 2]}, "stream": True},
        {**GOOD, "username": "x" * 64, "message": "  Hi  "},
        {**GOOD, "message": "😀" * 32_768},
        {**GOOD, "message": " " * 1000 + "x" * 32_768},
        {**GOOD, "conversation_id": "A-z0.9_:-"},
    ],
)  # fmt: skip
def test_valid_requests_are_served(server: ServerProcess, body: dict[str, object]):
    """Unknown fields are ignored, null means absent, and characters are code points."""
    assert server.post("/api/chat", body).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b'"text"', b"42", b"{'username': 'x'}", b"\xff\xfe", b'{"username": "\xff"}',
        b"\xef\xbb\xbf{}", b'{"username":"a","message":"\\ud800"}', b"[" * 100_000, b'{"a":' * 50_000,
        b'{"username":"a","message":"b"} trailing', b"\x00" * 100, b'{"username":NaN}',
    ],
)  # fmt: skip
def test_a_body_other_than_a_json_object_is_rejected(server: ServerProcess, body: bytes):
    """With 400 and one sentence, however deep or broken it is."""
    response = server.post("/api/chat", data=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert response.json()["code"] == "invalid_request"


@pytest.mark.parametrize(
    ("text", "half"),
    [
        (rb"cut \ud83d", rb"(\ud83d)"),  # JustVugg/colibri PR 1589, link-assistant/hive-mind #1324
        (rb"x \uDE00 y", rb"(\uDE00)"),  # JustVugg/colibri PR 1589
        (rb"\\\ud83d\n", rb"(\ud83d)"),
        (rb"\ud83d\ude00 \ud83d\u0041", rb"(\ud83d)"),  # vertesia/llumiverse PR 462, elizaOS/eliza PR 18079
    ],
)
def test_half_of_a_surrogate_pair_is_named(server: ServerProcess, text: bytes, half: bytes):
    """The sentence says what is wrong with the text that was cut."""
    body = b'{"username":"quick","message":"' + text + b'"}'
    response = server.post("/api/chat", data=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert f"half of a surrogate pair {half.decode()}" in response.json()["error"]


def test_other_escapes_are_not_taken_for_surrogates(server: ServerProcess):
    """The text after an escaped backslash is a text like any other."""
    body = rb'{"username":"quick","message":"\\ud83d \ud83d\ude00",}'
    response = server.post("/api/chat", data=body, headers={"Content-Type": "application/json"})
    assert response.json()["error"] == "The body is not valid JSON in UTF-8: send one JSON object"


def test_a_byte_order_mark_is_ignored(server: ServerProcess):
    """Badgerati/Pode #1604, CenterEdge/Yardarm PR 130, atifaziz/Jayrock #49; RFC 8259 §8.1."""
    body = b"\xef\xbb\xbf" + json.dumps(GOOD).encode()
    response = server.post("/api/chat", data=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 200


@pytest.mark.parametrize("length", [500_001, 10**12])
def test_a_body_over_the_limit_is_rejected_by_its_content_length(server: ServerProcess, length: int):
    """Before it is read."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = f"POST {SMART} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode())
        connection.sendall(b"x" * 1000)
        reply = b"".join(iter(lambda: connection.recv(65536), b""))
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"too_large"' in reply


def test_a_chunked_body_over_the_limit_is_rejected(server: ServerProcess):
    """It has no declared length."""
    response = requests.post(
        server.url + "/api/chat",
        data=(b"x" * 10_000 for _ in range(60)),
        headers={**server.headers(), "Content-Type": "application/json"},
        timeout=20,
    )
    assert response.status_code == 413


def claims(**more: object) -> dict[str, object]:
    return {"sub": "alice", "exp": int(time.time()) + 60, **more}


BAD_TOKENS = {
    "none at all": None,
    "empty": "Bearer ",
    "another scheme": "Basic YWxpY2U6c2VjcmV0",
    "no scheme": token(),
    "garbage": "Bearer garbage",
    "expired": f"Bearer {token(expires=-10)}",
    "not yet valid": f"Bearer {token(expires=200_000, nbf=int(time.time()) + 100_000)}",
    "another key": f"Bearer {jwt.encode(claims(), 'x' * 40, algorithm='HS256')}",
    "unsigned": f"Bearer {jwt.encode(claims(), None, algorithm='none')}",
    "another algorithm": f"Bearer {jwt.encode(claims(), SECRET * 2, algorithm='HS512')}",
    "no exp": f"Bearer {jwt.encode({'sub': 'alice'}, SECRET, algorithm='HS256')}",
    "no sub": f"Bearer {jwt.encode({'exp': int(time.time()) + 60}, SECRET, algorithm='HS256')}",
    "huge": "Bearer " + "x" * 7000,
}


@pytest.mark.parametrize("kind", BAD_TOKENS)
@pytest.mark.parametrize("path", [SMART, "/api/chat"])
def test_an_invalid_token_is_rejected(server: ServerProcess, path: str, kind: str):
    """With the challenge of RFC 6750, and without the token in the response."""
    value = BAD_TOKENS[kind]
    headers = {"Authorization": value} if value is not None else {}
    response = requests.post(server.url + path, json=GOOD, headers=headers, timeout=10)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="persona_stream"')
    assert '"code":"unauthorized"' in response.text
    assert "alice" not in response.text
    if value and len(value) > 20:
        assert value not in response.text


def test_a_token_without_the_scope_is_forbidden(server: ServerProcess):
    """It is valid, but insufficient."""
    for scope, status in (("admin", 403), ("", 403), ("chat", 200), ("admin chat", 200)):
        headers = {"Authorization": f"Bearer {token(scope=scope)}"}
        assert server.post("/api/chat", GOOD, headers=headers).status_code == status


def test_an_unknown_persona_is_not_found_before_the_first_byte(demo: ServerProcess):
    """If personas are configured."""
    made = (
        {"Authorization": "Bearer " + demo.greeting.partition("Token: ")[2].strip()} if "Token" in demo.greeting else {}
    )
    made = made or demo.headers()
    response = demo.post(SMART, {"username": "Nobody", "message": "Hi"}, headers=made)
    assert response.status_code == 404
    assert read(response)[0].data["error"] == "User profile not found"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", SMART, 405), ("DELETE", "/api/chat", 405), ("POST", "/api/profiles", 405), ("GET", "/nowhere", 404),
        ("PUT", "/api/runs", 405), ("GET", "/api/", 404),
    ],
)  # fmt: skip
def test_unknown_paths_and_methods(server: ServerProcess, method: str, path: str, status: int):
    """In the usual form, with Allow if HTTP requires it."""
    response = requests.request(method, server.url + path, headers=server.headers(), timeout=10)
    assert response.status_code == status
    assert json.loads(response.text.removeprefix("data: "))["success"] is False
    assert ("Allow" in response.headers) == (status == 405)


@pytest.mark.parametrize("path", ["/api/chat/", "//api/chat", "/api//chat//"])
def test_superfluous_slashes_are_ignored(server: ServerProcess, path: str):
    """Base URLs with a slash at the end bring them; the path is the same for an idempotency key too."""
    headers = {"Idempotency-Key": f"slashes {path}".replace(" ", "-")}
    answers = [server.post(each, GOOD, headers=headers) for each in (path, "/api/chat")]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["run_id"] == answers[1].json()["run_id"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "application/json", "Accept": "text/html"}, 406),
        ({"Content-Type": "application/json", "Accept": "image/*"}, 406),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Content-Type": "application/vnd.us+json"}, 200),
        ({"Content-Type": None}, 200),
        ({"Content-Type": "application/json", "Accept": "text/*"}, 200),
        ({"Accept": "text/event-stream;charset=UTF-8"}, 200),  # ReactiveX/RxNetty #556
        ({"Accept": "text/event-stream; charset=utf-8; q=0.9, */*;q=0"}, 200),
        ({"Accept": "application/json;charset=utf-8, text/event-stream"}, 200),  # modelcontextprotocol/go-sdk PR 853
        ({"Accept": 'Text/Event-Stream;Charset="UTF-8"'}, 200),  # akka/akka-http #1217
        ({"Accept": "text/event-stream"}, 200),  # kapitan-ai/orchard #257
        ({"Accept": "text/html;level=1, text/*;charset=utf-8;q=0.3"}, 200),
        ({"Accept": ", ;q=1"}, 200),
        ({"Accept": "application/jsonx, text/event-stream-bogus"}, 406),  # modelcontextprotocol/typescript-sdk #2480
        ({"Accept": "text/event-stream;charset=UTF-8;q=0"}, 406),
    ],
)
def test_media_types(server: ServerProcess, headers: dict[str, str], status: int):
    """Requests are JSON, responses are events; parameters of a media type do not matter (RFC 9110 §12.5.1)."""
    headers = {"Content-Type": "application/json", **headers}
    response = server.post(SMART, data=json.dumps(GOOD), headers=headers)
    assert response.status_code == status


@pytest.mark.parametrize(("setting", "users"), [("max_runs", ["a", "b", "c"]), ("max_runs_per_user", ["a", "a", "a"])])
def test_at_capacity_a_request_is_rejected_with_busy(setting: str, users: list[str]):
    """Every slot is released after any ending."""
    server = serve("tests.backends_for_tests:chosen", max_queue=0, **{setting: 2})
    try:
        for username, message in (("slow", "20"), ("slow", "20"), ("failing", "exception")):
            held = [
                server.post(SMART, {"username": "slow", "message": "20"}, user=user, stream=True) for user in users[:2]
            ]
            refused = server.post(SMART, {"username": "slow", "message": "0"}, user=users[2])
            assert refused.status_code == 429
            assert int(refused.headers["Retry-After"]) >= 1
            assert read(refused)[0].data["code"] == "busy"
            for response, user in zip(held, users[:2], strict=True):
                server.post(f"/api/runs/{response.headers['X-Run-Id']}/cancel", user=user)
                response.close()
            assert server.post(
                "/api/chat", {"username": username, "message": "0" if message == "20" else message}, user=users[2]
            ).status_code in (200, 500)
    finally:
        assert server.stop() == 0

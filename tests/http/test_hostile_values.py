"""Hostile values: input that breaks parsers, or breaks out of its place in the response."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from tests.http.bare import exchange, head, post, statuses
from tests.openapi_document import full_document
from tests.server_process import ServerProcess, token
from tests.sse_client import read

GOOD = b'"username":"quick","message":"Hi"'
CLOSE = b"Connection: close"


def chat(body: bytes, *fields: bytes, path: str = "/api/chat") -> bytes:
    """Return a request that is the last of its connection."""
    return post(b"Content-Type: application/json", b"Content-Length: %d" % len(body), CLOSE, *fields, path=path) + body


BODIES = {
    "a hundred thousand brackets": (b"[" * 100_000, 400),
    "objects as deep as the limit": (b'{"a":' * 99_000, 400),
    "depth in an unknown field": (b"{" + GOOD + b',"x":' + b"[" * 90_000 + b"]" * 90_000 + b"}", 400),
    "a number of a hundred thousand digits": (b"{" + GOOD + b',"x":' + b"9" * 100_000 + b"}", 200),
    "the same where a text belongs": (b'{"username":' + b"9" * 100_000 + b',"message":"Hi"}', 400),
    "a huge number in an unknown field": (b"{" + GOOD + b',"x":1e999999}', 200),
    "a tiny number": (b"{" + GOOD + b',"x":1e-999999}', 200),
    "a number that is none": (b"{" + GOOD + b',"x":NaN}', 400),
    "endless": (b"{" + GOOD + b',"x":Infinity}', 400),
    "the same key twice": (b"{" + GOOD + b',"message":"Bye"}', 200),
    "thirty thousand keys": (b"{" + GOOD + b"".join(b',"k%d":1' % n for n in range(30_000)) + b"}", 200),
    "fifty thousand of the same key": (b"{" + GOOD + b',"k":1' * 50_000 + b"}", 200),
    "bytes that are no UTF-8": (b'{"username":"quick","message":"\xff\xfe"}', 400),
    "UTF-8 longer than it must be": (b'{"username":"quick","message":"\xc0\xaf"}', 400),
    "a surrogate in UTF-8": (b'{"username":"quick","message":"\xed\xa0\x80"}', 400),
    "half a pair as an escape": (b'{"username":"quick","message":"\\ud800"}', 400),
    "UTF-16": ("{}".encode("utf-16"), 400),
    "NUL as an escape": (b'{"username":"quick","message":"a\\u0000b"}', 200),
    "a newline in a text": (b'{"username":"quick","message":"a\nb"}', 400),
    "a comment": (b"{" + GOOD + b"/* */}", 400),
}


@pytest.mark.parametrize("path", ["/api/chat", "/api/stream_chat_smart", "/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("kind", BODIES)
def test_hostile_bodies_are_read_or_rejected(server: ServerProcess, kind: str, path: str) -> None:
    """With bounded effort, and never with an internal error."""
    body, status = BODIES[kind]
    with server.no_traceback():
        received = exchange(server.url, chat(body, path=path))
    expected = status if path.startswith("/api/") else 400  # the fields have other names there
    assert statuses(received) == [expected], received[-300:]
    assert b"Traceback" not in received


def test_the_last_of_duplicate_keys_counts(server: ServerProcess) -> None:
    """As in nearly every other parser, so that the validated value is the one used."""
    received = exchange(server.url, chat(b"{" + GOOD + b',"message":"Bye"}'))
    assert b'"data":"You said: Bye"' in received


LONG = "x" * 7000
ADDRESSES = {
    "bytes that are no UTF-8": ("/api/runs?before=%FF%FE&limit=5", 200),
    "the same, bare": ("/api/runs?before=\xff\xfe", 400),
    "NUL": ("/api/runs?before=%00", 200),
    "thousands of parameters": ("/api/runs?" + "&".join(f"a{n}" for n in range(1500)), 200),
    "one parameter thousands of times": ("/api/runs?" + "&".join(["limit=5"] * 900), 200),
    "a number beyond all": ("/api/runs?limit=" + "9" * 5000, 400),
    "a number in other digits": ("/api/runs?limit=%D9%A5", 400),
    "a minus": ("/api/runs?limit=-1", 400),
    "an exponent": ("/api/runs?limit=1e1", 400),
    "a long name of a run": (f"/api/runs/{LONG}", 404),
    "a run above its folder": ("/api/runs/../../../etc/passwd", 404),
    "the same, escaped": ("/api/runs/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404),
    "a page above its folder": ("/dashboard/assets/..%2f..%2f..%2fsettings%2ftable.py", 404),
    "an absolute path": ("/dashboard/assets//etc/passwd", 404),
    "a run with a line's end": ("/api/runs/a%0d%0aSet-Cookie:%20b=c", 404),
    "a run with markup": ("/api/runs/%3Cscript%3Ealert(1)%3C%2Fscript%3E", 404),
    "a run with NUL": ("/api/runs/a%00b", 404),
    "a run that is no UTF-8": ("/api/runs/%ff%fe", 404),
    "a query in a query": ("/api/conversations?before=1_x'%20OR%20'1'='1", 400),
    "a conversation with a quote": ("/api/conversations/x'%20OR%20'1'='1", 503),
    "another host": ("http://elsewhere.example/api/runs", 200),
}


@pytest.mark.parametrize("kind", ADDRESSES)
def test_hostile_paths_are_served_or_rejected(server: ServerProcess, kind: str) -> None:
    """With bounded effort, and never with an internal error."""
    address, status = ADDRESSES[kind]
    sent = b"GET " + address.encode("latin-1") + post(CLOSE).partition(b"/api/chat")[2]
    with server.no_traceback():
        received = exchange(server.url, sent)
    assert statuses(received) == [status]
    lines = received.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    assert not [line for line in lines if line.startswith(b"set-cookie")]
    assert b"<script" not in received
    assert b"root:" not in received


def test_no_path_is_redirected(server: ServerProcess) -> None:
    """A path with two slashes would redirect a browser to another host."""
    for address in ("//evil.example/", "/%5Cevil.example/", "//evil.example/%2e%2e", "/dashboard/", "/docs/"):
        received = exchange(server.url, head(f"GET {address}", CLOSE))
        assert statuses(received)[0] in (200, 404)
        assert b"\r\nlocation" not in received.lower()


EVIL = {
    "line ends": "a\r\nSet-Cookie: hit=1\r\n\r\n<b>",
    "LF": "a\nSet-Cookie: hit=1",
    "CR": "a\rSet-Cookie: hit=1",
    "Unicode's line ends": "a\u2028Set-Cookie: hit=1\u0085b\u2029c",
    "NUL": "a\x00b",
    "escape": "\x1b[2J\x1b]0;hit\x07",
    "markup": '"><script>hit</script>',
    "a quote": '"; filename="hit',
    "not latin": "晚安" * 10,
    "long": "hit" * 2000,
}


@pytest.mark.parametrize("kind", EVIL)
@pytest.mark.parametrize("field", ["conversation_id", "locale", "chunking", "username", "prompt_mode"])
def test_no_field_of_a_body_breaks_out_of_the_response(server: ServerProcess, field: str, kind: str) -> None:
    """Rejected or served, the response has well-formed events in JSON and no foreign header."""
    response = server.post("/api/stream_chat_smart", {"username": "quick", "message": "Hi", field: EVIL[kind]})
    assert response.status_code in (200, 400)
    got = read(response)  # fails on any line that is neither id nor data
    assert got[-1].data["is_complete"]
    assert not [value for value in response.headers.values() if "hit" in value]
    assert "Set-Cookie" not in response.headers


ANSWER = (
    'a\r\n\r\nevent: error\rdata: {"is_complete":true}\n\n: b\u2028id: 9\u0085c\u2029\x1b[2J\x0b\x0c\x1c'
    "<script>hit</script>"
)
STREAMED = {
    "/api/stream_chat": {"username": "echo", "message": ANSWER, "reasoning": True},
    "/api/stream_chat_advanced": {"username": "echo", "message": ANSWER, "reasoning": True},
    "/api/stream_chat_smart": {"username": "echo", "message": ANSWER, "reasoning": True},
    "/v1/chat/completions": {"model": "echo", "messages": [{"role": "user", "content": ANSWER}], "stream": True},
    "/v1/messages": {
        "model": "echo", "messages": [{"role": "user", "content": ANSWER}], "stream": True, "max_tokens": 999,
    },
}  # fmt: skip


@pytest.mark.parametrize("path", STREAMED)
def test_no_answer_breaks_out_of_its_frame(server: ServerProcess, path: str) -> None:
    """A stream has only its own lines, and the text arrives to the character."""
    response = server.post(path, STREAMED[path])
    # By all that any client takes for the end of a line.
    lines = [line for line in response.content.decode().splitlines() if line]
    kinds = {line.partition(":")[0] for line in lines}
    assert kinds <= ({"event", "data"} if path == "/v1/messages" else {"", "id", "data"})
    assert "event: error" not in lines
    texts = [_text(json.loads(line[6:])) for line in lines if line.startswith("data: {")]
    assert "".join(texts) == ANSWER


def _text(data: dict[str, Any]) -> str:
    """Return the answer text of an event in any protocol."""
    if "choices" in data:
        return "".join(choice["delta"].get("content") or "" for choice in data["choices"])
    if "delta" in data:
        return str(data["delta"].get("text", ""))
    return str(data["data"]) if data.get("status") == "streaming" else ""


HEADERS = [
    "Idempotency-Key", "X-Request-Id", "traceparent", "tracestate", "Accept-Language", "Accept", "Origin",
    "Last-Event-ID", "X-Persona-Resume", "X-Persona-Heartbeat", "X-Forwarded-For", "X-Forwarded-Host",
    "X-Forwarded-Proto", "User-Agent", "X-Stainless-Retry-Count", "Access-Control-Request-Headers", "Referer", "Cookie",
    "Forwarded", "anthropic-version",
]  # fmt: skip
# Of those that pass as a header at all: line ends and NUL are refused with the head (test_framing.py).
VALUES = {
    "markup": b'"><script>hit</script>',
    "bytes that are no UTF-8": b"hit\xff\xfe",
    "Unicode's line ends": "hit\u2028hit\u0085".encode(),
    "long": b"hit" * 2000,
    "a list": b"hit, " * 1000 + b"hit",
    "a quote": b'hit"; x="y',
    "percents": b"%0d%0aSet-Cookie:%20hit=1",
}


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("name", HEADERS)
def test_no_request_header_is_echoed(server: ServerProcess, name: str, kind: str) -> None:
    """Its value appears in no header of the response and breaks nothing."""
    with server.no_traceback():
        received = exchange(server.url, chat(b"{" + GOOD + b"}", name.encode() + b": " + VALUES[kind]))
    assert statuses(received)[0] in (200, 400, 406)
    before, _, body = received.partition(b"\r\n\r\n")
    assert b"hit" not in before
    assert json.loads(body)["is_complete"] is True


def test_a_preflight_echoes_header_names_only(server: ServerProcess) -> None:
    """It is the only response that echoes input."""
    asked = "x-stainless-os, x-stainless-a b, x-stainless-<b>, x-stainless-" + "a" * 100 + ", x-other"
    response = requests.options(
        f"{server.url}/api/chat",
        headers={"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": asked},
        timeout=20,
    )
    assert response.headers["Access-Control-Allow-Headers"] == "x-stainless-os, x-other"


@pytest.mark.parametrize(
    "names",
    [
        "authorization,content-type,user-agent",  # vercel/ai #9256
        "authorization, anthropic-version, cache-control, x-api-key",  # aimock #158
        "content-type,traceparent",  # Necmttn/ax PR 693
        "sentry-trace,baggage",  # getsentry/sentry-javascript #6077, contentful/contentful.js #1381
        "x-stainless-os,x-stainless-retry-count",  # mostlygeek/llama-swap #77
        "tracestate,x-datadog-trace-id,x-datadog-sampling-priority",  # DataDog/dd-trace-js PR 9779
        "x-correlation-id,x-caused-by,x-actor",  # ten24group/fw24 PR 332
        "openai-organization,openai-project,openai-beta",
        "x-stainless-timeout,x-stainless-helper-method,idempotency-key",  # GD4AI/obsidian-llm-wiki #17
        "anthropic-beta,anthropic-dangerous-direct-browser-access",  # lidge-jun/opencodex #1773
    ],
)
@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/messages", "/api/stream_chat_smart", "/api/runs/x/events"]
)
def test_a_preflight_allows_the_headers_that_it_requests(server: ServerProcess, path: str, names: str) -> None:
    """Tracers and SDKs of browsers add headers, and no cookie gives a page of another origin any right."""
    response = requests.options(
        server.url + path,
        headers={
            "Origin": "app://obsidian.md",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": names,
        },
        timeout=20,
    )
    assert response.status_code == 204
    allowed = response.headers["Access-Control-Allow-Headers"].split(", ")
    assert allowed == [name.strip() for name in names.split(",")]
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert response.headers["Vary"] == "Access-Control-Request-Headers"  # lidge-jun/opencodex PR 1778


def test_pages_of_other_origins_can_read_each_documented_header(server: ServerProcess) -> None:
    """Otherwise an SDK in a browser repeats what cannot succeed, or too soon (electric-sql/electric PR 3437)."""
    always = {"Cache-Control", "Content-Type", "Content-Language"}  # https://fetch.spec.whatwg.org
    responses = requests.get(f"{server.url}/healthz", timeout=20).headers
    exposed = {name.lower() for name in responses["Access-Control-Expose-Headers"].split(", ")}
    documented = {
        name
        for path in full_document()["paths"].values()
        for operation in path.values()
        if isinstance(operation, dict)
        for response in operation.get("responses", {}).values()
        for name in response.get("headers", {})
    }
    hidden = {name for name in documented - always if name.lower() not in exposed}
    assert "x-should-retry" in documented
    assert hidden <= {"Upgrade", "ETag"}  # of WebSockets and pages


def test_a_token_in_the_url_is_ignored(server: ServerProcess) -> None:
    """URLs end up in the logs of proxies and in browser histories."""
    good = token()
    for name in ("token", "access_token", "authorization", "api_key", "key", "jwt"):
        refused = requests.get(f"{server.url}/api/runs?{name}={good}", timeout=20)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == 'Bearer realm="persona_stream"'
    cookies = {"token": good, "persona_stream_admin": token(scope="admin chat")}
    assert requests.get(f"{server.url}/api/runs", cookies=cookies, timeout=20).status_code == 401


def test_two_authorization_headers_are_rejected(server: ServerProcess) -> None:
    """A proxy might check one and the server the other."""
    both = post(b"Authorization: Bearer x", CLOSE, path="/api/runs").replace(b"POST", b"GET", 1)
    assert statuses(exchange(server.url, both)) == [400]

"""Requests of the fast lane: their conditions, and their WSGI environment."""

from __future__ import annotations

import io
from collections.abc import Callable

import gevent
import pytest
from gevent import socket
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.routing import Rule

from persona_stream.server import http11
from persona_stream.server.handler import MAX_LINE_BYTES
from persona_stream.server.waiting import Connection
from persona_stream.server.wsgi import MAX_BODY_BYTES, FastRequest, Server, parse_request
from persona_stream.web.pipeline import FastRoute

SMART = "/api/stream_chat_smart"
BODY = b'{"message":"Hi"}'


class FakeLane:
    """Lane with one route for POST, one for GET, and one for WebSockets."""

    max_body_bytes = 1_000_000

    def find(self, method: str, path: str) -> FastRoute | None:
        """Return a route without a view."""
        if (method, path) not in (("POST", SMART), ("GET", "/events"), ("GET", "/ws")):
            return None
        return FastRoute(Rule(path, websocket=path == "/ws"), None, {})  # type: ignore[arg-type] # unused


def parse(data: bytes) -> FastRequest | None:
    """Parse with the fake lane."""
    return parse_request(data, FakeLane(), {"wsgi.url_scheme": "http"}, ("10.0.0.1", 4711))  # type: ignore[arg-type] # a fake


def post(*fields: bytes, line: bytes = b"POST " + SMART.encode() + b" HTTP/1.1", body: bytes = BODY) -> bytes:
    """Write a request with a body."""
    length = b"Content-Length: %d" % len(body)
    return b"".join(part + b"\r\n" for part in (line, b"Host: x", length, *fields, b"")) + body


def test_a_complete_request_becomes_a_wsgi_environment() -> None:
    """Repeated fields are joined, and names with an underscore left out."""
    data = post(b"Accept: text/*", b"accept: */*", b"Cookie: a=1", b"Cookie: b=2", b"X_Forwarded_For: 1.2.3.4")
    request = parse(data + b"GET /next")
    assert request is not None
    assert data[request.head_bytes : request.size] == BODY
    assert not request.closes
    assert request.environ == {
        "wsgi.url_scheme": "http",
        "REQUEST_METHOD": "POST",
        "PATH_INFO": SMART,
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "10.0.0.1",
        "REMOTE_PORT": "4711",
        "CONTENT_LENGTH": str(len(BODY)),
        "HTTP_HOST": "x",
        "HTTP_ACCEPT": "text/*,*/*",
        "HTTP_COOKIE": "a=1; b=2",
    }


def test_an_upgrade_is_taken_on_its_route_alone() -> None:
    """And a request without one is left to Flask there, which says what is missing."""
    fields = b"Host: x\r\nConnection: Upgrade\r\n"
    request = parse(b"GET /ws HTTP/1.1\r\n" + fields + b"Upgrade: websocket\r\n\r\n")
    assert request is not None
    assert request.environ["HTTP_UPGRADE"] == "websocket"
    assert parse(b"GET /ws HTTP/1.1\r\n" + fields + b"\r\n") is None
    assert parse(b"GET /events HTTP/1.1\r\n" + fields + b"Upgrade: websocket\r\n\r\n") is None


def test_a_body_that_has_not_arrived_is_part_of_the_size() -> None:
    """The caller waits for it."""
    data = post()
    request = parse(data[:-3])
    assert request is not None
    assert request.size == len(data)


def test_the_client_may_end_the_connection() -> None:
    """As HTTP/1.1 has it."""
    request = parse(post(b"Connection: Close"))
    assert request is not None
    assert request.closes


OTHERS = {
    "another path": post(line=b"POST /api/runs HTTP/1.1"),
    "another method": post(line=b"PUT /api/stream_chat_smart HTTP/1.1"),
    "a path with an escape": post(line=b"POST /api/stream%5Fchat_smart HTTP/1.1"),
    "an absolute target": post(line=b"POST http://x/api/stream_chat_smart HTTP/1.1"),
    "an older version": post(line=b"POST /api/stream_chat_smart HTTP/1.0"),
    "two spaces": post(line=b"POST  /api/stream_chat_smart HTTP/1.1"),
    "an empty line before": b"\r\n" + post(),
    "half a head": post().partition(b"\r\n\r\n")[0],
    "nothing": b"",
    "chunks": post(b"Transfer-Encoding: chunked"),
    "a client that waits for 100": post(b"Expect: 100-continue"),
    "an upgrade": post(b"Upgrade: websocket", b"Connection: upgrade"),
    "a length twice": post(b"Content-Length: 3"),
    "a bare line feed": post(b"X-A: b\nX-C: d"),
    "a continuation": post(b"X-A: b\r\n c"),
    "no host": post().replace(b"Host: x\r\n", b""),
    "a long body": post(body=b"x" * (MAX_BODY_BYTES + 1)),
    "a body of a GET": post(line=b"GET /events HTTP/1.1"),
    "a long line": post(line=b"POST /api/stream_chat_smart?" + b"x" * MAX_LINE_BYTES + b" HTTP/1.1"),
    "a long head": post(b"X-A: " + b"x" * http11.MAX_HEAD_BYTES),
    "many fields": post(*[b"X-A: b"] * http11.MAX_HEADERS),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_an_unusual_request_is_left_to_the_handler(kind: str) -> None:
    """It serves or refuses such requests."""
    assert parse(OTHERS[kind]) is None


@given(st.data())
def test_a_request_that_is_taken_is_one_that_the_strict_parser_accepts(data: st.DataObject) -> None:
    """Also with arbitrary bytes in any place."""
    request = post(b"Accept: */*", b"Authorization: Bearer x")
    at = data.draw(st.integers(0, len(request)))
    end = data.draw(st.integers(at, min(len(request), at + 6)))
    changed = request[:at] + data.draw(st.binary(max_size=6)) + request[end:]
    taken = parse(changed)
    if taken is None:
        return
    file = io.BytesIO(changed)
    http11.validate_request_line(file.readline())
    lines = list(iter(file.readline, b"\r\n"))
    fields = http11.parse_headers(lines, "HTTP/1.1")
    assert file.tell() == taken.head_bytes
    # Without the field a request has no body (RFC 9112 §6.3).
    length = {name.lower(): value for name, value in fields}.get("content-length", "0")
    assert taken.size - taken.head_bytes == int(length)


class RecordingServer(Server):
    """Server that records the requests that it would serve."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), None, fast_lane=FakeLane())  # type: ignore[arg-type] # a fake
        self.served: list[str] = []

    def spawn(self, function: Callable[..., object], *args: object) -> None:
        """Record the name of a method that would serve a request."""
        self.served.append(function.__name__)


def test_a_body_that_drips_is_left_to_the_handler() -> None:
    """The time without a greenlet is that of the whole body: a byte now and then does not extend it."""
    server = RecordingServer()
    ours, client = socket.socketpair()
    with ours, client:
        connection = Connection(ours, ("10.0.0.1", 4711), server)
        client.sendall(post(body=b"x" * 10_000)[:-9_000])
        connection.wait(20.0)
        with gevent.Timeout(20.0):
            while not server.served:
                client.sendall(b"x")
                gevent.sleep(0.01)  # less than the wait for a body
        connection.close()
    assert server.served == ["_serve"]

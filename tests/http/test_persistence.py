"""Whether a connection remains open after a response, and how its end is announced (RFC 9112 §9.3, §9.6)."""

from __future__ import annotations

import pytest

from tests.http.bare import connect, exchange, head, post, read_to_end, statuses
from tests.server_process import ServerProcess

BODY = b'{"username":"quick","message":"Hi"}'
LENGTH = b"Content-Length: %d" % len(BODY)
PATHS = ["/api/chat", "/api/stream_chat_smart"]  # a body with a length, and a stream
NEXT = head("GET /healthz", b"Connection: close")
OLD = b" HTTP/1.0\r\n"


def old(request: bytes) -> bytes:
    """Return the request in HTTP/1.0."""
    return request.replace(b" HTTP/1.1\r\n", OLD, 1)


def announced(received: bytes) -> list[bytes]:
    """Return the header Connection of each response."""
    heads = [part.partition(b"\r\n\r\n")[0] for part in received.split(b"HTTP/1.1 ")[1:]]
    lines = [line for each in heads for line in each.split(b"\r\n") if line.startswith(b"Connection:")]
    return [line.removeprefix(b"Connection: ") for line in lines]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "fields",
    [
        [b"Connection: close"],
        [b"Connection: TE, close", b"TE: deflate,gzip;q=0.3"],  # libwww-perl
        [b"Connection: keep-alive, Close"],  # mtrudel/bandit #639
        [b"Connection: TE", b"Connection: close"],  # aio-libs/aiohttp PR 12249
        [b"Connection: Upgrade, close", b"Upgrade: h2c"],  # mojolicious/mojo #1855
    ],
    ids=lambda fields: b" ".join(fields).decode(),
)
def test_a_connection_closes_where_one_of_its_options_says_so(
    server: ServerProcess, path: str, fields: list[bytes]
) -> None:
    """And the response announces it, so that no client sends another request (nodejs/node #9085)."""
    received = exchange(server.url, post(LENGTH, *fields, path=path) + BODY)
    assert statuses(received) == [200]
    assert announced(received) == [b"close"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("option", [b"closed", b"keep-alive", b"x-close", b"TE", b""])
def test_another_option_keeps_it_open(server: ServerProcess, path: str, option: bytes) -> None:
    """The response says nothing, since that is the default of HTTP/1.1."""
    received = exchange(server.url, post(LENGTH, b"Connection: " + option, path=path) + BODY + NEXT)
    assert statuses(received) == [200, 200]
    assert announced(received) == [b"close"]


@pytest.mark.parametrize("option", [b"keep-alive", b"Keep-Alive, TE"])
def test_a_body_of_http_1_0_keeps_a_connection_open_if_it_has_a_length(server: ServerProcess, option: bytes) -> None:
    """As gevent PR 1490 wants it for old proxies and load generators."""
    received = exchange(server.url, old(post(LENGTH, b"Connection: " + option)) + BODY + NEXT)
    assert statuses(received) == [200, 200]
    assert announced(received) == [b"keep-alive", b"close"]


@pytest.mark.parametrize("fields", [[], [b"Connection: keep-alive"]])
def test_a_stream_of_http_1_0_ends_with_its_connection(server: ServerProcess, fields: list[bytes]) -> None:
    """It has neither a length nor chunks, so that the next response would be read as a part of it."""
    received = exchange(server.url, old(post(LENGTH, *fields, path="/api/stream_chat_smart")) + BODY + NEXT)
    assert statuses(received) == [200]
    assert announced(received) == [b"close"]
    assert b"Transfer-Encoding" not in received
    assert received.endswith(b"\n\n")


def test_http_1_0_gets_no_100_continue(server: ServerProcess) -> None:
    """It would be taken for the response (hyperium/hyper PR 3294)."""
    received = exchange(server.url, old(post(LENGTH, b"Expect: 100-continue")) + BODY)
    assert statuses(received) == [200]


def test_a_refusal_that_leaves_a_body_unread_announces_the_end(server: ServerProcess) -> None:
    """The body may or may not follow (eventlet/eventlet PR 578)."""
    received = exchange(server.url, head("POST /api/chat", LENGTH, b"Expect: 100-continue"))
    assert statuses(received) == [401]
    assert announced(received) == [b"close"]


@pytest.mark.parametrize("host", [b"a b", b"a/b", b"a@b", b'"a"', b"<script>", b"a?b", b"a\\b", b"caf\xc3\xa9"])
def test_a_host_that_is_none_is_refused(server: ServerProcess, host: bytes) -> None:
    """RFC 9112 §3.2; pallets/werkzeug #3063, litestar-org/litestar PR 4813."""
    request = head("GET /healthz", b"Connection: close").replace(b"Host: x", b"Host: " + host)
    assert statuses(exchange(server.url, request)) == [400]


@pytest.mark.parametrize("host", [b"", b"my_app:5001", b"[::1]:80", b"%2Frun%2Fapp.sock", b"xn--caf-dma.example."])
def test_an_unusual_host_is_accepted(server: ServerProcess, host: bytes) -> None:
    """Names of containers, addresses, sockets."""
    request = head("GET /healthz", b"Connection: close").replace(b"Host: x", b"Host: " + host)
    assert statuses(exchange(server.url, request)) == [200]


def test_a_connection_closes_after_a_stream_that_has_waited(server: ServerProcess) -> None:
    """The end of a stream that the pacer sends is that of an immediate one."""
    body = b'{"username":"slow","message":"1"}'
    fields = (b"Content-Length: %d" % len(body), b"Connection: TE, close")
    with connect(server.url) as connection:
        connection.sendall(post(*fields, path="/api/stream_chat_smart") + body)
        received = read_to_end(connection)
    assert received.endswith(b"0\r\n\r\n")
    assert announced(received) == [b"close"]

"""Ambiguous requests are refused, so that no request is smuggled in behind another (RFC 9112 §11.2)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.http.bare import connect, exchange, head, post, read_to_end, statuses
from tests.polling import wait_for
from tests.redis_server import RedisServer, needs_redis
from tests.server_process import ServerProcess, serve

BODY = b'{"username":"quick","message":"Hi"}'
LENGTH = b"Content-Length: %d" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked"
LAST = head("GET /healthz", b"Connection: close")
# A request that an attacker hides behind another; it must never have a response.
HIDDEN = head("GET /openapi.json", b"Connection: close")


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


WHOLE = {
    "a length": post(LENGTH) + BODY,
    "chunks": post(CHUNKED) + chunks(BODY[:5], BODY[5:]),
    "chunks of one byte": post(CHUNKED) + chunks(*(BODY[at : at + 1] for at in range(len(BODY)))),
    "another case of letters": post(b"transfer-encoding: Chunked") + chunks(BODY),
    "an extension and a trailer": post(CHUNKED) + b'23;a="b"\r\n%b\r\n0;c\r\nX-Sum: 1\r\n\r\n' % BODY,
    "zeros before a size": post(CHUNKED) + b"0023\r\n%b\r\n000\r\n\r\n" % BODY,
    "an empty line before": b"\r\n" + post(LENGTH) + BODY,
    "chunks with an upgrade": post(CHUNKED, b"Upgrade: websocket") + chunks(BODY),
}


def test_the_host_of_an_absolute_target_replaces_the_field(server: ServerProcess) -> None:
    """RFC 9112 §3.2.2; Pylons/waitress #467."""
    request = b"GET http://other.example/openapi.json?x HTTP/1.1\r\nHost: victim.example\r\nConnection: close\r\n\r\n"
    received = exchange(server.url, request)
    assert statuses(received) == [200]
    assert b"victim.example" not in received


@pytest.mark.parametrize("kind", WHOLE)
def test_an_unambiguous_request_is_served(server: ServerProcess, kind: str) -> None:
    """The next request of the connection is served too."""
    received = exchange(server.url, WHOLE[kind] * 2 + LAST)
    assert statuses(received) == [200, 200, 200]
    assert received.count(b'"data":"You said: Hi"') == 2


def test_the_body_of_a_refused_upgrade_is_read_as_a_body(server: ServerProcess) -> None:
    """The upgrade is refused, and the next request is read from its beginning."""
    upgrade = post(LENGTH, b"Connection: Upgrade", b"Upgrade: websocket") + BODY
    assert statuses(exchange(server.url, upgrade * 2 + LAST)) == [400, 400, 200]


AMBIGUOUS = {
    "a length and chunks": post(LENGTH, CHUNKED) + chunks(BODY),
    "chunks and a length": post(CHUNKED, b"Content-Length: 3") + chunks(BODY),
    "two lengths": post(LENGTH, b"Content-Length: 0") + BODY,
    "the same length twice": post(LENGTH, LENGTH) + BODY,
    "a list of lengths": post(b"Content-Length: 35, 35") + BODY,
    "a length with a sign": post(b"Content-Length: +35") + BODY,
    "a length below zero": post(b"Content-Length: -1") + BODY,
    "a length with an underscore": post(b"Content-Length: 3_5") + BODY,
    "a length in another base": post(b"Content-Length: 0x23") + BODY,
    "a length in other digits": post("Content-Length: ３５".encode()) + BODY,
    "no length at all": post(b"Content-Length:") + BODY,
    "an endless length": post(b"Content-Length: " + b"9" * 400) + BODY,
    "chunks twice": post(CHUNKED, CHUNKED) + chunks(BODY),
    "a space before the colon": post(b"Content-Length : 35") + BODY,
    "a space before the name": post(b" Transfer-Encoding: chunked") + chunks(BODY),
    "a header over two lines": post(b"Transfer-Encoding:\r\n chunked") + chunks(BODY),
    "a control character in a value": post(b"Transfer-Encoding: \x0bchunked") + chunks(BODY),
    "a NUL in a value": post(b"X-A: b\x00", CHUNKED) + chunks(BODY),
    "a NUL in a name": post(b"Content-Length\x00: 35") + BODY,
    "a line that ends with CR alone": post(b"X-A: b\rTransfer-Encoding: chunked") + chunks(BODY),
    "a line that ends with LF alone": post(b"X-A: b\nTransfer-Encoding: chunked") + chunks(BODY),
    "a line that is no header": post(b"no header", CHUNKED) + chunks(BODY),
    "a header without a name": post(b": x", CHUNKED) + chunks(BODY),
    "chunks in HTTP/1.0": post(CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0") + chunks(BODY),
    "two hosts": head("GET /healthz", b"Host: y"),
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/2.0": b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n",
    "HTTP/1": b"GET /healthz HTTP/1\r\nHost: x\r\n\r\n",
    "HTTP/2 by its preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a URL with user information": b"GET http://a:b@x/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "a URL of another scheme": b"GET ftp://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "an address of a tunnel": b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "two spaces": b"GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tab for a space": b"GET\t/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space behind the version": b"GET /healthz HTTP/1.1 \r\nHost: x\r\n\r\n",
    "a space in the address": b"GET /health z HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method that is none": b"G(T /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no HTTP at all": b"\x00" * 1000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_an_ambiguous_request_is_refused(server: ServerProcess, kind: str) -> None:
    """The status is 400, and the bytes after it are not read as a request."""
    received = exchange(server.url, AMBIGUOUS[kind] + HIDDEN)
    assert statuses(received) == [400]
    assert b"Connection: close" in received


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"chunked, chunked", b"identity", b"xchunked", b""])
def test_an_unsupported_transfer_coding_is_refused(server: ServerProcess, coding: bytes) -> None:
    """The end of such a body is unknown."""
    received = exchange(server.url, post(b"Transfer-Encoding: " + coding) + chunks(BODY) + HIDDEN)
    assert statuses(received) == [501]


BROKEN = {
    "a size that is none": b"zz\r\n%b\r\n0\r\n\r\n" % BODY,
    "no size": b"\r\n%b\r\n0\r\n\r\n" % BODY,
    "a size below zero": b"-23\r\n%b\r\n0\r\n\r\n" % BODY,
    "a size with a prefix": b"0x23\r\n%b\r\n0\r\n\r\n" % BODY,
    "a size that overflows": b"%b\r\n%b\r\n0\r\n\r\n" % (b"F" * 17, BODY),
    "a size that is too small": b"5\r\n%b\r\n0\r\n\r\n" % BODY,
    "a size that ends with LF alone": b"23\n%b\r\n0\r\n\r\n" % BODY,
    "a chunk that ends with LF alone": b"23\r\n%b\n0\r\n\r\n" % BODY,
    "an extension over two lines": b"23;a\nb\r\n%b\r\n0\r\n\r\n" % BODY,
    "an extension with CR": b"23;a\rb\r\n%b\r\n0\r\n\r\n" % BODY,
    "an endless extension": b"23;%b\r\n%b\r\n0\r\n\r\n" % (b"a" * 5000, BODY),
    "a trailer that is no header": b"23\r\n%b\r\n0\r\n(): x\r\n\r\n" % BODY,
    "trailers without an end": b"23\r\n%b\r\n0\r\n%b\r\n" % (BODY, b"a: b\r\n" * 200),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_body_with_wrong_framing_closes_its_connection(server: ServerProcess, kind: str) -> None:
    """The application refuses it, and the bytes after it are not read as a request."""
    received = exchange(server.url, post(CHUNKED) + BROKEN[kind] + HIDDEN)
    assert statuses(received) == [400]
    assert b"The body is incomplete" in received


@pytest.mark.parametrize("length", [LENGTH, CHUNKED])
def test_a_truncated_body_is_refused_without_a_traceback(server: ServerProcess, length: bytes) -> None:
    """A client that disconnects is no error of the server."""
    with server.no_traceback(), connect(server.url) as connection:
        connection.sendall(post(length) + BODY[:10])
        connection.shutdown(1)
        assert statuses(read_to_end(connection)) == [400]


HUGE = {
    "one header of a megabyte": (head("GET /healthz", b"X-A: " + b"b" * 2**20), 431),
    "two hundred headers": (head("GET /healthz", *(b"X-%d: a" % number for number in range(200))), 431),
    "forty headers of a kilobyte": (head("GET /healthz", *(b"X-%d: %b" % (n, b"a" * 1000) for n in range(40))), 431),
    "headers without an end": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 100_000, 431),
    "an address of a megabyte": (head("GET /" + "a" * 2**20), 414),
    "a query of 9,000 characters": (head("GET /api/runs?" + "a" * 9000), 414),
}


@pytest.mark.parametrize("kind", HUGE)
def test_a_huge_head_is_refused_with_a_response(server: ServerProcess, kind: str) -> None:
    """A bounded number of its bytes is read."""
    sent, status = HUGE[kind]
    assert statuses(exchange(server.url, sent)) == [status]


@pytest.mark.parametrize("length", [b"Content-Length: 1000000000000", CHUNKED])
def test_a_refused_body_is_not_read_without_end(server: ServerProcess, length: bytes) -> None:
    """A client without a token has its response at once, for any announced length."""
    with connect(server.url) as connection:
        connection.sendall(head("POST /api/chat", length))
        assert statuses(read_to_end(connection)) == [401]


def test_expect_100_continue_is_honoured(server: ServerProcess) -> None:
    """A valid head gets ``100 Continue``, and another one its error at once."""
    with connect(server.url) as connection:
        connection.sendall(post(LENGTH, b"Expect: 100-continue", b"Connection: close"))
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert statuses(read_to_end(connection)) == [200]
    assert statuses(exchange(server.url, head("POST /api/chat", LENGTH, b"Expect: 100-continue"))) == [401]


def test_pipelined_requests_are_answered_in_order(server: ServerProcess) -> None:
    """An error among them does not affect the others."""
    mine = head("GET /api/runs", b"Authorization: Bearer nonsense")
    anonymous = head("POST /api/chat", LENGTH) + BODY
    received = exchange(server.url, head() + mine + anonymous + head("GET /nowhere") + LAST)
    assert statuses(received) == [200, 401, 401, 404, 200]


def test_a_request_behind_a_stream_waits_for_its_end(server: ServerProcess) -> None:
    """It is neither lost nor mixed into the stream, and the client does not count as disconnected."""
    body = b'{"username":"slow","message":"2.5"}'
    stream = post(b"Content-Length: %d" % len(body), path="/api/stream_chat_smart") + body
    received = exchange(server.url, stream + head("GET /nowhere") + LAST)
    before, middle, _ = received.partition(b"0\r\n\r\nHTTP/1.1 404 ")
    assert middle
    assert b'"status":"complete"' in before
    assert statuses(received)[0] == 200
    assert received.endswith(b'{"status":"alive"}')


def test_connections_do_not_share_bytes(server: ServerProcess) -> None:
    """Half a request of one connection is never the beginning of another connection's request."""
    with connect(server.url) as half, connect(server.url) as other:
        half.sendall(post(LENGTH) + BODY[:10])
        other.sendall(BODY[10:] + b"\r\n\r\n")
        assert statuses(read_to_end(other)) == [400]
        half.sendall(BODY[10:])
        wait_for(lambda: statuses(half.recv(65536, 2)) == [200])
        assert json.loads(half.recv(65536).partition(b"\r\n\r\n")[2])["data"] == "You said: Hi"


@needs_redis
def test_workers_parse_requests_like_a_single_process(tmp_path: Path) -> None:
    """gunicorn's own server is replaced."""
    redis = RedisServer()
    try:
        server = serve("tests.backends_for_tests:chosen", workers=2, redis_url=redis.url, state_dir=tmp_path)
        try:
            for sent in AMBIGUOUS.values():
                assert statuses(exchange(server.url, sent + HIDDEN)) == [400]
            for sent in BROKEN.values():
                assert statuses(exchange(server.url, post(CHUNKED) + sent + HIDDEN)) == [400]
            for sent in WHOLE.values():
                assert statuses(exchange(server.url, sent * 2 + LAST)) == [200, 200, 200]
            for sent, status in HUGE.values():
                assert statuses(exchange(server.url, sent)) == [status]
        finally:
            assert server.stop() == 0
    finally:
        redis.close()

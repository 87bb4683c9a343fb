"""The transport over real sockets."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from persona_stream.client.models import Server
from persona_stream.client.requests import Request
from persona_stream.client.transport import (
    BodyFinished,
    Broken,
    Bytes,
    Head,
    HttpTransport,
    Message,
    TransportInterrupted,
)
from persona_stream.core.clock import monotonic_wall_clock
from tests.client.fakes import STREAM_HEADERS, Exchange, FakeServer

READ = Request("GET", "/api/runs/run-1/events", {"Last-Event-ID": b"run-1/2.6"}, read_timeout=10.0)
PATIENT = 10.0


def take(transport: HttpTransport) -> Message:
    """Give the next message, which must come."""
    message = transport.next(PATIENT)
    assert message is not None, "nothing came"
    return message


def body(transport: HttpTransport) -> tuple[bytes, Message]:
    """Give the rest of a response, and its last message."""
    parts = []
    while isinstance(message := take(transport), Bytes):
        parts.append(message.data)
    return b"".join(parts), message


def transport_to(url: str) -> HttpTransport:
    """Give a transport to a server."""
    return HttpTransport(Server(url, "secret"), monotonic_wall_clock())


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "delimited by the end of the connection"])
def test_what_is_sent_comes_at_once(chunked: bool) -> None:
    """Each part arrives before the next one is sent, however the body is delimited."""
    arrived = threading.Semaphore(0)

    def handler(exchange: Exchange) -> None:
        exchange.head(chunked=chunked)
        for part in (b"one", b"two"):
            exchange.send(part)
            assert arrived.acquire(timeout=PATIENT)
        exchange.end()

    with FakeServer([handler]) as server:
        transport = transport_to(server.url)
        transport.open(READ)
        head = take(transport)
        assert isinstance(head, Head)
        assert (head.status, head.headers["x-run-id"]) == (200, "run-1")
        for part in (b"one", b"two"):
            message = take(transport)
            assert isinstance(message, Bytes)
            assert message.data == part
            arrived.release()
        assert isinstance(take(transport), BodyFinished)
    sent = server.requests[0]
    assert (sent.method, sent.path) == ("GET", "/api/runs/run-1/events")
    assert sent.headers["authorization"] == "Bearer secret"
    assert (sent.headers["last-event-id"], sent.headers["accept-encoding"]) == ("run-1/2.6", "identity")


def test_a_proxy_may_compress() -> None:
    """Although we ask for none, what comes compressed is read."""
    packed = gzip.compress(b"data: a\n\n" * 1000)

    def handler(exchange: Exchange) -> None:
        exchange.head(headers={**STREAM_HEADERS, "content-encoding": "gzip"})
        exchange.send(packed)

    with FakeServer([handler]) as server:
        transport = transport_to(server.url)
        transport.open(READ)
        take(transport)
        data, last = body(transport)
        assert data == b"data: a\n\n" * 1000
        assert isinstance(last, BodyFinished)


def _reset(exchange: Exchange) -> None:
    exchange.head()
    exchange.send(b"one")
    exchange.reset()


def _half_a_chunk(exchange: Exchange) -> None:
    exchange.head(chunked=True)
    exchange.send_raw(b"5\r\non")


def _no_last_chunk(exchange: Exchange) -> None:
    exchange.head(chunked=True)
    exchange.send(b"one")


def _short_of_its_length(exchange: Exchange) -> None:
    exchange.head(headers={"content-length": "10"})
    exchange.send(b"one")


def _hang_up(exchange: Exchange) -> None:
    exchange.reset()


def _no_http(exchange: Exchange) -> None:
    exchange.send_raw(b"SSH-2.0-OpenSSH_9.0\r\n")


@pytest.mark.parametrize("handler", [_reset, _half_a_chunk, _no_last_chunk, _short_of_its_length, _hang_up, _no_http])
def test_a_break_is_told_from_an_end(handler: Callable[[Exchange], None]) -> None:
    """Whatever is missing, it is a broken connection, and the thread ends."""
    with FakeServer([handler]) as server:
        transport = transport_to(server.url)
        transport.open(READ)
        first = take(transport)
        last = body(transport)[1] if isinstance(first, Head) else first
        assert isinstance(last, Broken)
        assert last.reason == "connection_lost"


def test_a_server_that_is_not_there() -> None:
    """The operating system's own words are kept, and not the library's."""
    with FakeServer([]) as server:
        url = server.url
    transport = transport_to(url)
    transport.open(READ)
    message = take(transport)
    assert isinstance(message, Broken)
    assert (message.reason, message.detail) == ("unreachable", "Connection refused")


def test_a_name_that_does_not_exist() -> None:
    """The same for a name, be it unknown or impossible."""
    for url in ("http://name.invalid", f"http://{'x' * 100}.invalid"):
        transport = transport_to(url)
        transport.open(READ)
        message = take(transport)
        assert isinstance(message, Broken)
        assert message.reason == "unreachable"


@pytest.mark.parametrize("begun", [True, False])
def test_silence_breaks_a_connection(begun: bool) -> None:
    """A cable that was pulled says nothing; before the response, and in the middle of it."""

    def handler(exchange: Exchange) -> None:
        if begun:
            exchange.head()
        exchange.wait_for_disconnect()

    with FakeServer([handler]) as server:
        transport = transport_to(server.url)
        transport.open(Request("GET", "/", read_timeout=0.2))
        message = take(transport)
        if begun:
            assert isinstance(message, Head)
            message = take(transport)
        assert isinstance(message, Broken)
        assert message.reason == "silence"


def test_plain_http_where_tls_is_expected() -> None:
    """It is said to be about security, because trying again does not help."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        transport = transport_to(f"https://127.0.0.1:{listener.getsockname()[1]}")
        transport.open(READ)
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            message = take(transport)
    assert isinstance(message, Broken)
    assert message.reason == "tls"


def test_a_redirect_is_not_followed() -> None:
    """The token and the question go where they were sent, and nowhere else."""

    def handler(exchange: Exchange) -> None:
        exchange.answer(302, {}, {"location": "http://127.0.0.1:1/"})

    with FakeServer([handler]) as server:
        transport = transport_to(server.url)
        transport.open(READ)
        message = take(transport)
        assert isinstance(message, Head)
        assert (message.status, message.headers["location"]) == (302, "http://127.0.0.1:1/")
        body(transport)
    assert len(server.requests) == 1


def test_a_netrc_does_not_replace_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """requests would, if the token were a plain header."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login x password y\n", encoding="ascii")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with FakeServer([lambda exchange: exchange.answer(200, {})]) as server:
        transport = transport_to(server.url)
        transport.open(READ)
        take(transport)
        body(transport)
    assert server.requests[0].headers["authorization"] == "Bearer secret"


def test_a_new_request_forgets_the_old_one() -> None:
    """Its messages do not get into the new one's, and its connection is closed at once."""

    def endless(exchange: Exchange) -> None:
        exchange.head()
        exchange.send(b"old")
        exchange.wait_for_disconnect()

    with FakeServer([endless, lambda exchange: exchange.answer(200, {"new": True})]) as server:
        transport = transport_to(server.url)
        transport.open(READ)
        take(transport)
        transport.open(READ)
        take(transport)
        assert body(transport)[0] == b'{"new": true}'
        transport.close()


def test_an_interruption_is_heard_in_the_middle_of_silence() -> None:
    """It does not wait for the next message."""

    def silent(exchange: Exchange) -> None:
        exchange.head()
        exchange.wait_for_disconnect()

    with FakeServer([silent]) as server:
        transport = transport_to(server.url)
        transport.open(READ)
        take(transport)
        threading.Timer(0.05, transport.interrupt).start()
        assert isinstance(transport.next(PATIENT), TransportInterrupted)
        transport.close()


def test_nothing_comes_in_vain() -> None:
    """Without a connection there is nothing to wait for, and the time is kept."""
    transport = transport_to("http://127.0.0.1:1")
    before = time.monotonic()
    assert transport.next(0.05) is None
    assert time.monotonic() - before >= 0.05


def test_a_slow_reader_holds_the_server_back() -> None:
    """What is not taken stays with the server, and does not fill our memory."""
    sent = []

    def flood(exchange: Exchange) -> None:
        exchange.head()
        for _ in range(2000):
            exchange.send(b"x" * 65536)
            sent.append(1)

    with FakeServer([flood]) as server:
        transport = transport_to(server.url)
        transport.open(READ)
        take(transport)
        before = -1
        while before != len(sent):
            before = len(sent)
            time.sleep(0.3)
        assert len(sent) < 1000
        transport.close()

"""HTTP transport over real sockets."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from persona_stream.client.models import Request, ServerConfig
from persona_stream.client.transport import BodyFinished, Broken, Bytes, Head, HttpTransport, Interrupted, ResponsePart
from persona_stream.core.clock import monotonic_wall_clock
from tests.client.fakes import STREAM_HEADERS, Exchange, FakeServer

READ = Request("GET", "/api/runs/run-1/events", {"Last-Event-ID": b"run-1/2.6"}, read_timeout=10.0)
TIMEOUT = 10.0


def receive(transport: HttpTransport) -> ResponsePart:
    """Return the next message, failing if there is none."""
    message = transport.next(TIMEOUT)
    assert message is not None, "no message"
    return message


def body(transport: HttpTransport) -> tuple[bytes, ResponsePart]:
    """Return the rest of a body, and the last message."""
    parts = []
    while isinstance(message := receive(transport), Bytes):
        parts.append(message.data)
    return b"".join(parts), message


def transport_to(url: str) -> HttpTransport:
    """Return a transport to a server."""
    return HttpTransport(ServerConfig(url, "secret"), monotonic_wall_clock())


@pytest.mark.parametrize(
    "media_type", ["text/event-stream", "Text/Event-Stream; charset=UTF-8", "text/event-stream ;x"]
)
def test_a_stream_is_recognised_by_its_media_type(media_type: str) -> None:
    """In any spelling, with status 200 only."""
    assert Head(0.0, 200, {"content-type": media_type}).is_stream
    assert not Head(0.0, 404, {"content-type": media_type}).is_stream
    assert not Head(0.0, 200, {"content-type": f"x-{media_type}"}).is_stream
    assert not Head(0.0, 200, {}).is_stream


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "delimited by the end of the connection"])
def test_bytes_are_delivered_at_once(chunked: bool) -> None:
    """Each part arrives before the next one is sent, with and without chunked encoding."""
    arrived = threading.Semaphore(0)

    def handler(exchange: Exchange) -> None:
        exchange.head(chunked=chunked)
        for part in (b"one", b"two"):
            exchange.send(part)
            assert arrived.acquire(timeout=TIMEOUT)
        exchange.end()

    with FakeServer([handler]) as server:
        transport = transport_to(server.url)
        transport.open(READ)
        head = receive(transport)
        assert isinstance(head, Head)
        assert (head.status, head.headers["x-run-id"]) == (200, "run-1")
        for part in (b"one", b"two"):
            message = receive(transport)
            assert isinstance(message, Bytes)
            assert message.data == part
            arrived.release()
        assert isinstance(receive(transport), BodyFinished)
    sent = server.requests[0]
    assert (sent.method, sent.path) == ("GET", "/api/runs/run-1/events")
    assert sent.headers["authorization"] == "Bearer secret"
    assert (sent.headers["last-event-id"], sent.headers["accept-encoding"]) == ("run-1/2.6", "identity")


def test_a_compressed_body_is_decoded() -> None:
    """A proxy may compress, although the client does not ask for it."""
    packed = gzip.compress(b"data: a\n\n" * 1000)

    def handler(exchange: Exchange) -> None:
        exchange.head(headers={**STREAM_HEADERS, "content-encoding": "gzip"})
        exchange.send(packed)

    with FakeServer([handler]) as server:
        transport = transport_to(server.url)
        transport.open(READ)
        receive(transport)
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
def test_an_incomplete_response_is_a_broken_connection(handler: Callable[[Exchange], None]) -> None:
    """Whichever part is missing; the thread ends."""
    with FakeServer([handler]) as server:
        transport = transport_to(server.url)
        transport.open(READ)
        first = receive(transport)
        last = body(transport)[1] if isinstance(first, Head) else first
        assert isinstance(last, Broken)
        assert last.reason == "connection_lost"


def test_a_refused_connection_is_unreachable() -> None:
    """The detail is the text of the operating system, not of the library."""
    with FakeServer([]) as server:
        url = server.url
    transport = transport_to(url)
    transport.open(READ)
    message = receive(transport)
    assert isinstance(message, Broken)
    assert (message.reason, message.detail) == ("unreachable", "Connection refused")


def test_an_unknown_host_name_is_unreachable() -> None:
    """And so is an invalid one."""
    for url in ("http://name.invalid", f"http://{'x' * 100}.invalid"):
        transport = transport_to(url)
        transport.open(READ)
        message = receive(transport)
        assert isinstance(message, Broken)
        assert message.reason == "unreachable"


@pytest.mark.parametrize("begun", [True, False])
def test_silence_breaks_a_connection(begun: bool) -> None:
    """Before the response, and in the middle of it."""

    def handler(exchange: Exchange) -> None:
        if begun:
            exchange.head()
        exchange.wait_for_disconnect()

    with FakeServer([handler]) as server:
        transport = transport_to(server.url)
        transport.open(Request("GET", "/", read_timeout=0.2))
        message = receive(transport)
        if begun:
            assert isinstance(message, Head)
            message = receive(transport)
        assert isinstance(message, Broken)
        assert message.reason == "silence"


def test_plain_http_instead_of_tls_is_a_tls_error() -> None:
    """It is not retried."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        transport = transport_to(f"https://127.0.0.1:{listener.getsockname()[1]}")
        transport.open(READ)
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            message = receive(transport)
    assert isinstance(message, Broken)
    assert message.reason == "tls"


def test_a_redirect_is_not_followed() -> None:
    """Token and question go to the configured server only."""

    def handler(exchange: Exchange) -> None:
        exchange.answer(302, {}, {"location": "http://127.0.0.1:1/"})

    with FakeServer([handler]) as server:
        transport = transport_to(server.url)
        transport.open(READ)
        message = receive(transport)
        assert isinstance(message, Head)
        assert (message.status, message.headers["location"]) == (302, "http://127.0.0.1:1/")
        body(transport)
    assert len(server.requests) == 1


def test_a_netrc_does_not_replace_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """requests overwrites a plain Authorization header."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login x password y\n", encoding="ascii")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with FakeServer([lambda exchange: exchange.answer(200, {})]) as server:
        transport = transport_to(server.url)
        transport.open(READ)
        receive(transport)
        body(transport)
    assert server.requests[0].headers["authorization"] == "Bearer secret"


def test_a_new_request_drops_the_old_one() -> None:
    """No message of the old one is delivered, and its connection is closed at once."""

    def endless(exchange: Exchange) -> None:
        exchange.head()
        exchange.send(b"old")
        exchange.wait_for_disconnect()

    with FakeServer([endless, lambda exchange: exchange.answer(200, {"new": True})]) as server:
        transport = transport_to(server.url)
        transport.open(READ)
        receive(transport)
        transport.open(READ)
        receive(transport)
        assert body(transport)[0] == b'{"new": true}'
        transport.close()


def test_an_interruption_is_delivered_during_silence() -> None:
    """It does not wait for the next message."""

    def silent(exchange: Exchange) -> None:
        exchange.head()
        exchange.wait_for_disconnect()

    with FakeServer([silent]) as server:
        transport = transport_to(server.url)
        transport.open(READ)
        receive(transport)
        threading.Timer(0.05, transport.interrupt).start()
        with pytest.raises(Interrupted):
            transport.next(TIMEOUT)
        transport.close()


def test_without_a_connection_next_waits_for_the_timeout() -> None:
    """And returns nothing."""
    transport = transport_to("http://127.0.0.1:1")
    before = time.monotonic()
    assert transport.next(0.05) is None
    assert time.monotonic() - before >= 0.05


def test_a_slow_consumer_applies_backpressure() -> None:
    """Unread data stays with the server and does not fill memory."""
    sent = []

    def flood(exchange: Exchange) -> None:
        exchange.head()
        for _ in range(2000):
            exchange.send(b"x" * 65536)
            sent.append(1)

    with FakeServer([flood]) as server:
        transport = transport_to(server.url)
        transport.open(READ)
        receive(transport)
        before = -1
        while before != len(sent):
            before = len(sent)
            time.sleep(0.3)  # longer than the server takes for a chunk
        assert len(sent) < 1000
        transport.close()


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "nonsense"])
def test_a_server_on_this_machine_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """NousResearch/hermes-agent PR 5834."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with FakeServer([lambda exchange: exchange.answer(200, {})]) as server:
        transport = transport_to(server.url)
        transport.open(READ)
        assert isinstance(receive(transport), Head)
        assert body(transport)[0] == b"{}"


def test_the_error_of_a_proxy_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its password."""
    monkeypatch.setenv("http_proxy", "http://me:pw@127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    transport = transport_to("http://server.example")
    transport.open(READ)
    message = receive(transport)
    assert isinstance(message, Broken)
    assert message == Broken(message.at, "unreachable", "Connection refused (proxy 127.0.0.1:9)")

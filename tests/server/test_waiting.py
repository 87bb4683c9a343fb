"""Connection: its waits, for which it needs no greenlet."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gevent
import pytest
from gevent import socket

from persona_stream.server.waiting import Connection

BOUND = 20.0  # seconds; allows for a loaded machine


class Host:
    """Host that records what happens to its connections."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.happened = gevent.event.Event()

    def on_bytes(self, connection: Connection) -> None:
        self.record(f"{connection.unread!r}")

    def on_incomplete(self, connection: Connection) -> None:
        self.record("incomplete")

    def on_closed(self, connection: Connection) -> None:
        self.record("closed")

    def record(self, event: str) -> None:
        self.events.append(event)
        self.happened.set()

    def spawn(self, function: Callable[..., object], *args: object) -> None:
        raise AssertionError("no greenlet is needed")


@pytest.fixture
def host() -> Host:
    """A host."""
    return Host()


@pytest.fixture
def pair(host: Host) -> Iterator[tuple[Connection, socket.socket]]:
    """A connection, and the client's end."""
    ours, client = socket.socketpair()
    client.settimeout(BOUND)
    connection = Connection(ours, ("127.0.0.1", 1), host)
    yield connection, client
    connection.close()
    client.close()


def test_the_first_byte_of_a_request_ends_the_wait(host: Host, pair: tuple[Connection, socket.socket]) -> None:
    """The time limit no longer applies."""
    connection, client = pair
    connection.wait(0.05, is_idle=True)
    assert connection.is_idle
    client.sendall(b"G")
    assert host.happened.wait(BOUND)
    gevent.sleep(0.06)  # beyond the time limit
    assert host.events == ["b'G'"]
    assert not connection.is_idle


def test_a_client_that_sends_nothing_is_cut_off(host: Host, pair: tuple[Connection, socket.socket]) -> None:
    """It reads the end of the connection."""
    connection, client = pair
    connection.wait(0.02)
    assert client.recv(10) == b""
    assert host.events == ["closed"]


def test_closing_calls_back_once(host: Host, pair: tuple[Connection, socket.socket]) -> None:
    """The host learns of it even if the callback fails."""
    connection, _ = pair
    connection.on_close = lambda: host.record("released")
    connection.close()
    connection.close()
    assert host.events == ["released", "closed"]


def test_a_failing_callback_leaves_the_connection_closed(host: Host, pair: tuple[Connection, socket.socket]) -> None:
    """No socket leaks because of a bug elsewhere."""
    connection, client = pair

    def fail() -> None:
        raise RuntimeError("a bug")

    connection.on_close = fail
    with pytest.raises(RuntimeError, match="a bug"):
        connection.close()
    assert client.recv(10) == b""
    assert host.events == ["closed"]


def test_unread_bytes_do_not_reset_the_connection(pair: tuple[Connection, socket.socket]) -> None:
    """The client still reads the end of the response."""
    connection, client = pair
    client.sendall(b"more")
    connection.socket.sendall(b"response")
    connection.close()
    assert client.recv(100) == b"response"
    assert client.recv(100) == b""


@pytest.mark.parametrize("leaves", [True, False])
def test_half_a_request_is_reported(host: Host, pair: tuple[Connection, socket.socket], leaves: bool) -> None:
    """When its rest has not arrived in time, or the client has no more to send; the connection stays open."""
    connection, client = pair
    connection.unread = b"GET"
    if leaves:
        client.shutdown(socket.SHUT_WR)
    connection.wait(BOUND if leaves else 0.01)
    assert host.happened.wait(BOUND)
    assert host.events == ["incomplete"]
    assert not connection.is_closed


def test_a_client_that_leaves_ends_the_wait(host: Host, pair: tuple[Connection, socket.socket]) -> None:
    """Without a greenlet."""
    connection, client = pair
    connection.wait(BOUND, is_idle=True)
    client.close()
    assert host.happened.wait(BOUND)
    assert host.events == ["closed"]

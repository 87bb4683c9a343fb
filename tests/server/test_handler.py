"""Reader of a connection with a deadline."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from persona_stream.server.handler import DeadlineReader
from tests.fakes import FakeClock

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Both ends of a connection."""
    server_side, client_side = socket.socketpair()
    with server_side, client_side:
        server_side.settimeout(75.0)
        yield server_side, client_side


def test_nothing_is_read_before_a_deadline_is_set(pair: Pair) -> None:
    """No read is unbounded by mistake."""
    pair[1].sendall(b"a")
    with pytest.raises(TimeoutError):
        DeadlineReader(pair[0], FakeClock(0.0)).read(1)


def test_dripping_does_not_extend_the_deadline(pair: Pair) -> None:
    """A client that sends a byte each second has no more time than a silent one."""
    clock = FakeClock(0.0)
    reader = DeadlineReader(pair[0], clock)
    reader.set_deadline(10.0)
    for _ in range(10):
        pair[1].sendall(b"a")
        assert reader.read(1) == b"a"
        clock.now += 1.0
    pair[1].sendall(b"a")
    with pytest.raises(TimeoutError):
        reader.read(1)


def test_bytes_at_the_minimum_rate_extend_the_deadline(pair: Pair) -> None:
    """It is ten seconds, and one more for every two bytes."""
    clock = FakeClock(0.0)
    reader = DeadlineReader(pair[0], clock)
    reader.set_deadline(10.0, min_rate=2.0)
    pair[1].sendall(b"abcd")
    assert reader.read(100) == b"abcd"
    clock.now = 11.9
    pair[1].sendall(b"e")
    assert reader.read(100) == b"e"
    clock.now = 12.5
    with pytest.raises(TimeoutError):
        reader.read(100)


def test_a_silent_client_times_out_and_the_write_timeout_stays(pair: Pair) -> None:
    """The timeout of the socket is changed only for the read."""
    reader = DeadlineReader(pair[0], FakeClock(0.0))
    reader.set_deadline(0.05)
    with pytest.raises(TimeoutError):
        reader.read(1)
    assert pair[0].gettimeout() == 75.0

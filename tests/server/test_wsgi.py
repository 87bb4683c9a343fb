"""A connection is read until a moment and no longer."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from persona_stream.server.wsgi import DeadlineReader
from tests.fakes import FakeClock

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Both ends of a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(75.0)
        yield ours, theirs


def test_nothing_is_read_before_somebody_says_until_when(pair: Pair) -> None:
    """So that no read is without a bound by mistake."""
    pair[1].sendall(b"a")
    with pytest.raises(TimeoutError):
        DeadlineReader(pair[0], FakeClock(0.0)).read(1)


def test_dripping_does_not_prolong_it(pair: Pair) -> None:
    """Whoever sends a byte each second has as long as who sends none."""
    clock = FakeClock(0.0)
    receiver = DeadlineReader(pair[0], clock)
    receiver.set_deadline(10.0)
    for _ in range(10):
        pair[1].sendall(b"a")
        assert receiver.read(1) == b"a"
        clock.now += 1.0
    pair[1].sendall(b"a")
    with pytest.raises(TimeoutError):
        receiver.read(1)


def test_what_comes_at_the_least_rate_may_take_its_time(pair: Pair) -> None:
    """Ten seconds, and one for every two bytes."""
    clock = FakeClock(0.0)
    receiver = DeadlineReader(pair[0], clock)
    receiver.set_deadline(10.0, least_bytes_per_second=2.0)
    pair[1].sendall(b"abcd")
    assert receiver.read(100) == b"abcd"
    clock.now = 11.9
    pair[1].sendall(b"e")
    assert receiver.read(100) == b"e"
    clock.now = 12.5
    with pytest.raises(TimeoutError):
        receiver.read(100)


def test_silence_ends_it_too_and_the_time_for_writing_stays(pair: Pair) -> None:
    """By the socket's own timeout, which is set for the reading alone."""
    receiver = DeadlineReader(pair[0], FakeClock(0.0))
    receiver.set_deadline(0.05)
    with pytest.raises(TimeoutError):
        receiver.read(1)
    assert pair[0].gettimeout() == 75.0

"""Pacer: many streams in one greenlet, over real sockets."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable, Iterator
from functools import partial

import gevent
import pytest
from gevent import socket

from persona_stream.core.clock import monotonic_wall_clock
from persona_stream.server.waiting import Connection, PacedStream, Pacer
from tests import polling

CLOCK = monotonic_wall_clock()
BOUND = 20.0  # seconds; allows for a loaded machine

wait_for = partial(polling.wait_for, seconds=BOUND, sleep=gevent.sleep)


class FakeStream:
    """Stream with a script: each step is the delay in seconds until it is due, and its data."""

    run_id = "the run"

    def __init__(self, *steps: tuple[float, bytes]) -> None:
        self._steps = list(steps)
        self._due = CLOCK() + steps[0][0] if steps else math.inf
        self.until: float | None = -math.inf
        self.on_wake: Callable[[], None] = lambda: None
        self.may_block = False
        self.error: Exception | None = None
        self.client: socket.socket | None = None
        self.left = False
        self.closed = 0
        self.in_advance: Callable[[], object] = lambda: None

    def advance(self) -> bytes:
        self.in_advance()
        if self.error is not None:
            raise self.error
        data = b""
        while self._steps and self._due <= CLOCK():
            data += self._steps.pop(0)[1]
            if self._steps:
                self._due += self._steps[0][0]
        self.until = self._due if self._steps else None
        return data

    def is_disconnected(self) -> bool:
        return self.left

    def close(self) -> None:
        self.closed += 1
        self.until = None
        self.on_wake = lambda: None


class Server:
    """Host of connections, with a pacer."""

    def __init__(self) -> None:
        self.pacer = Pacer(CLOCK)
        self.ended: list[Connection] = []
        self.closed: list[Connection] = []
        self.greenlets: list[gevent.Greenlet] = []
        self.sockets: list[socket.socket] = []

    def on_bytes(self, connection: Connection) -> None:
        raise AssertionError("no connection waits for a request")

    def on_incomplete(self, connection: Connection) -> None:
        raise AssertionError("no connection waits for a request")

    def on_closed(self, connection: Connection) -> None:
        self.closed.append(connection)

    def spawn(self, function: Callable[..., object], *args: object) -> None:
        self.greenlets.append(gevent.spawn(function, *args))

    def start(self, stream: FakeStream, *, is_chunked: bool = False) -> socket.socket:
        """Start a stream; return the client's end of its connection."""
        ours, client = socket.socketpair()
        ours.settimeout(BOUND)
        client.settimeout(BOUND)
        self.sockets += (ours, client)
        connection = Connection(ours, ("127.0.0.1", 1), self)
        PacedStream(stream, connection, self.pacer, is_chunked=is_chunked, on_end=self.ended.append)
        return client


@pytest.fixture
def server() -> Iterator[Server]:
    """A host whose sockets are closed afterwards."""
    host = Server()
    yield host
    gevent.killall(host.greenlets)
    for each in host.sockets:
        each.close()


def read(client: socket.socket, size: int) -> bytes:
    """Read so many bytes."""
    data = b""
    while len(data) < size:
        part = client.recv(65536)
        assert part, f"the connection was closed after {data!r}"
        data += part
    return data


def test_streams_are_sent_when_they_are_due(server: Server) -> None:
    """A stream that is due earlier than all others wakes the pacer, although it came last."""
    late = server.start(FakeStream((0.0, b"now "), (0.2, b"later")))
    assert read(late, 4) == b"now "
    early = server.start(FakeStream((0.05, b"soon")))
    assert read(early, 4) == b"soon"
    late.settimeout(0.0)
    with pytest.raises(BlockingIOError):
        late.recv(100)
    late.settimeout(BOUND)
    assert read(late, 5) == b"later"
    wait_for(lambda: len(server.ended) == 2)


def test_the_end_of_a_response_is_announced_and_passes_the_connection_on(server: Server) -> None:
    """Chunks are framed, and the stream is closed once."""
    stream = FakeStream((0.0, b"first"), (0.01, b"last"))
    client = server.start(stream, is_chunked=True)
    framed = b"5\r\nfirst\r\n4\r\nlast\r\n0\r\n\r\n"
    assert read(client, len(framed)) == framed
    wait_for(lambda: server.ended)
    assert (len(server.ended), stream.closed, server.closed) == (1, 1, [])


def test_a_signal_advances_a_stream_at_once(server: Server) -> None:
    """A fact that arrives does not wait for the next moment that was scheduled."""
    stream = FakeStream((60.0, b"a fact"))
    client = server.start(stream)
    wait_for(lambda: stream.until is not None and stream.until > CLOCK())
    stream._due = CLOCK()
    stream.on_wake()
    stream.on_wake()  # two facts at once are one signal
    assert read(client, 6) == b"a fact"


def test_a_full_socket_delays_no_other_stream(server: Server) -> None:
    """The client that reads slowly gets every byte in order, and what became due meanwhile afterwards."""
    large = b"x" * 5_000_000
    slow = FakeStream((0.0, large), (0.01, b"end"))
    client = server.start(slow)
    other = server.start(FakeStream((0.0, b"1"), (0.02, b"2"), (0.02, b"3")))
    assert read(other, 3) == b"123"
    assert slow.closed == 0
    assert read(client, len(large) + 3) == large + b"end"
    wait_for(lambda: len(server.ended) == 2)


def test_a_client_that_reads_nothing_is_cut_off(server: Server) -> None:
    """The timeout of the socket is the time in which it must read some bytes."""
    stream = FakeStream((0.0, b"x" * 5_000_000), (0.01, b"end"))
    server.start(stream)
    server.sockets[0].settimeout(0.05)
    wait_for(lambda: server.closed)
    assert (stream.closed, server.ended) == (1, [])


def test_a_client_that_left_is_noticed_without_a_write(server: Server) -> None:
    """Nothing is due for a minute, and the stream closes at once."""
    stream = FakeStream((60.0, b"never"))
    client = server.start(stream)
    wait_for(lambda: stream.until is not None and stream.until > CLOCK())
    stream.left = True
    client.close()
    wait_for(lambda: server.closed)
    assert (stream.closed, server.ended) == (1, [])


def test_the_memory_of_a_stream_is_freed_at_its_end(server: Server) -> None:
    """Not at the moment that was scheduled for it, which may be minutes away, and without the collector."""

    def abandon() -> weakref.ref[FakeStream]:
        stream = FakeStream((600.0, b"never"))
        client = server.start(stream)
        wait_for(lambda: stream.until is not None and stream.until > CLOCK())
        stream.left = True
        client.close()
        return weakref.ref(stream)

    gc.disable()
    try:
        abandoned = abandon()
        wait_for(lambda: server.closed)
        wait_for(lambda: abandoned() is None)
    finally:
        gc.enable()


def test_a_pipelined_request_stays_unread(server: Server) -> None:
    """The stream continues, and that the client leaves is noticed when more is due."""
    stream = FakeStream((0.0, b"a"), (0.05, b"b"), (0.05, b"c"))
    client = server.start(stream)
    client.sendall(b"GET / HTTP/1.1\r\n")
    assert read(client, 2) == b"ab"
    stream.left = True
    wait_for(lambda: server.closed)
    assert stream.closed == 1


def test_a_stream_that_fails_closes_its_connection_only(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """The error is logged, and the pacer goes on."""
    broken = FakeStream((0.0, b"a"))
    broken.error = RuntimeError("a bug")
    other = server.start(FakeStream((0.0, b"1"), (0.05, b"2")))
    client = server.start(broken)
    assert client.recv(100) == b""
    assert read(other, 2) == b"12"
    assert (broken.closed, len(server.closed)) == (1, 1)
    assert "a stream failed" in caplog.text


def test_a_stream_that_may_wait_has_a_greenlet_of_its_own(server: Server) -> None:
    """Others are sent while it waits, and a signal that comes meanwhile is not lost."""
    gate = gevent.event.Event()
    stream = FakeStream((0.0, b"a"), (60.0, b"b"))
    stream.may_block = True
    stream.in_advance = gate.wait
    client = server.start(stream)
    other = server.start(FakeStream((0.0, b"1"), (0.02, b"2")))
    assert read(other, 2) == b"12"
    stream.on_wake()
    gate.set()
    assert read(client, 1) == b"a"
    stream._due = CLOCK()
    stream.on_wake()
    assert read(client, 1) == b"b"


def test_a_stream_that_may_wait_is_advanced_only_when_it_is_due(server: Server) -> None:
    """Each advance has a greenlet, so that one after the other would occupy the processor."""
    advances: list[bool] = []
    stream = FakeStream((0.0, b"a"), (0.05, b"b"), (60.0, b"c"))
    stream.may_block = True
    stream.in_advance = lambda: advances.append(True)
    client = server.start(stream)
    assert read(client, 2) == b"ab"
    gevent.sleep(0.1)  # in which one advance after the other would be hundreds
    assert len(advances) <= 4


def test_a_client_may_leave_while_its_stream_waits(server: Server) -> None:
    """Nothing is written to the closed connection."""
    gate = gevent.event.Event()
    stream = FakeStream((0.0, b"a"), (60.0, b"b"))
    stream.may_block = True
    stream.in_advance = gate.wait
    client = server.start(stream)
    wait_for(lambda: server.greenlets)
    stream.left = True
    client.close()
    wait_for(lambda: server.closed)
    gate.set()
    gevent.joinall(server.greenlets, timeout=BOUND, raise_error=True)
    assert (stream.closed, server.ended) == (1, [])

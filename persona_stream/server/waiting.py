"""Waiting connections: for a request, or for the next event of their stream, without a greenlet each.

A stream that waits is an entry in a heap. One greenlet, the pacer, writes due events straight to the sockets, which are
hardly ever full; for one that is, a greenlet of its own waits until the client reads.

Invariants:

- Nothing that the pacer calls waits, or all streams would: a step that may, gets a greenlet of its own.
- A stream is advanced by one greenlet at a time, and never while a part of it is unsent.
"""

import logging
import math
import socket
from collections.abc import Callable
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from typing import Any, Protocol

import gevent
from gevent.hub import get_hub

from persona_stream.concurrency import TimeSlice, Wakeup
from persona_stream.core.clock import Clock
from persona_stream.web.websocket import WebSocketStream

logger = logging.getLogger("persona_stream.server")

BEAT = 0.004  # seconds between two wake-ups of the pacer by time: streams that are due in between share one
_READABLE = 1  # libev's EV_READ
_READ_BYTES = 64 * 1024
LAST_CHUNK = b"0\r\n\r\n"


class ConnectionHost(Protocol):
    """Server that a connection belongs to."""

    def on_bytes(self, connection: "Connection") -> None:
        """Handle bytes of a request, which have been added to ``connection.unread``. Must not block."""

    def on_incomplete(self, connection: "Connection") -> None:
        """Handle a request of which the rest has not arrived in time, or never will. Must not block."""

    def on_closed(self, connection: "Connection") -> None:
        """Handle the end of a connection. Must not block."""

    def spawn(self, function: Callable[..., object], *args: object) -> None:
        """Start a greenlet that ends with the server."""


class WaitingStream(Protocol):
    """Stream that is sent when more of it is due; see ``EventStream``."""

    on_wake: Callable[[], None]
    until: float | None  # moment at which more is due, unless ``on_wake`` is called before; ``None`` after the end

    @property
    def is_disconnected(self) -> Callable[[], bool]:
        """Function that returns whether the client has disconnected."""

    @property
    def run_id(self) -> str:
        """Id of the run, for the log."""

    @property
    def may_block(self) -> bool:
        """Whether ``advance`` may wait for a native thread."""

    def advance(self) -> bytes:
        """Return the bytes that are due, perhaps none."""

    def close(self) -> None:
        """Release the stream, and no longer refer to ``on_wake``."""


class Connection:
    """Socket of a client, and what it waits for: a request, or while it receives a stream, that the client leaves.

    Attributes:
        socket: the socket, whose timeout is that of writes.
        address: address of the client.
        unread: bytes of the next request that have been read.
        head_deadline: moment by which the head of the first request must be complete; infinite for later ones.
        body_deadline: moment until which the body of the request is awaited without a greenlet, if it is.
        is_idle: whether the client has had a response and has not begun another request.
        is_closed: whether ``close`` was called.
        on_close: called once by ``close``; must not block.
    """

    __slots__ = (
        "_host",
        "_timer",
        "_watcher",
        "address",
        "body_deadline",
        "head_deadline",
        "is_closed",
        "is_idle",
        "on_close",
        "socket",
        "unread",
    )

    def __init__(self, sock: socket.socket, address: Any, host: ConnectionHost) -> None:
        self._host = host
        self._watcher = get_hub().loop.io(sock.fileno(), _READABLE)
        self._timer: Any = None
        self.socket = sock
        self.address = address
        self.unread = b""
        self.head_deadline = math.inf
        self.body_deadline = math.inf
        self.is_idle = False
        self.is_closed = False
        self.on_close: Callable[[], None] | None = None

    def wait(self, seconds: float, *, is_idle: bool = False) -> None:
        """Wait for bytes; if none arrive within ``seconds``, report an incomplete request, or close the connection."""
        self.is_idle = is_idle
        self._timer = get_hub().loop.timer(seconds)
        self._timer.start(self._on_timeout, update=True)
        self._watcher.start(self._on_bytes)

    def watch(self, on_readable: Callable[[], None]) -> None:
        """Call ``on_readable`` in the event loop whenever the client has sent bytes or left."""
        self._watcher.start(on_readable)

    def unwatch(self) -> None:
        """End ``watch``."""
        self._watcher.stop()

    def receive(self) -> bytes | None:
        """Return bytes that the client has sent, empty after their end, and ``None`` if there are none yet."""
        write_timeout = self.socket.gettimeout()
        self.socket.settimeout(0.0)
        try:
            return self.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        finally:
            self.socket.settimeout(write_timeout)

    def close(self) -> None:
        """Close the connection, unless it is closed."""
        if self.is_closed:
            return
        self.is_closed = True
        self._stop_waiting()
        self._watcher.close()
        try:
            if self.on_close is not None:
                on_close = self.on_close
                self.on_close = None
                on_close()
        finally:
            with suppress(OSError):
                # Unread bytes would make the close reset the connection, which loses the end of the response.
                self.socket.settimeout(0.0)
                self.socket.recv(16384)
            self.socket.close()
            self._host.on_closed(self)

    def _on_bytes(self) -> None:
        data = self.receive()
        if data is None:
            return
        self._stop_waiting()
        if data:
            self.unread += data
            self._host.on_bytes(self)
        else:
            self._give_up()

    def _on_timeout(self) -> None:
        self._stop_waiting()
        self._give_up()

    def _give_up(self) -> None:
        if self.unread:
            self._host.on_incomplete(self)
        else:
            self.close()

    def _stop_waiting(self) -> None:
        self.is_idle = False
        self._watcher.stop()
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def spawn(self, function: Callable[..., object], *args: object) -> None:
        """Start a greenlet that ends with the server."""
        self._host.spawn(function, *args)


class Pacer:
    """Schedule of streams by the moment at which more of them is due."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: list[tuple[float, int]] = []  # moments and tickets; that of a cancelled one stays
        self._scheduled: dict[int, PacedStream] = {}  # by ticket
        self._ready: list[PacedStream] = []
        self._count = count(1)
        self._wakes_at = -math.inf
        self._wakeup = Wakeup()
        self._greenlet: gevent.Greenlet | None = None

    def schedule(self, stream: "PacedStream", at: float) -> None:
        """Pump a stream at a moment, instead of at the one that was scheduled before."""
        self.cancel(stream)
        stream.ticket = next(self._count)
        self._scheduled[stream.ticket] = stream
        heappush(self._due, (at, stream.ticket))
        if at < self._wakes_at:
            self._wakeup.set()

    def cancel(self, stream: "PacedStream") -> None:
        """Forget the moment that is scheduled for a stream, if one is, and the stream."""
        self._scheduled.pop(stream.ticket, None)

    def call_soon(self, stream: "PacedStream") -> None:
        """Pump a stream as soon as the event loop is free."""
        self._ready.append(stream)
        self._wakeup.set()
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def _run(self) -> None:
        due = self._due
        clock = self._clock
        turn = TimeSlice()
        beat_at = -math.inf
        while True:
            self._wakes_at = max(beat_at + BEAT, due[0][0]) if due else math.inf
            self._wakeup.wait(self._wakes_at - clock())
            self._wakes_at = -math.inf  # entries that are added meanwhile are seen below
            self._pump_ready(turn)
            if clock() >= beat_at + BEAT:
                beat_at = clock()
                self._pump_due(turn)

    def _pump_ready(self, turn: TimeSlice) -> None:
        ready, self._ready = self._ready, []
        for stream in ready:
            turn.limit()
            _pump(stream)

    def _pump_due(self, turn: TimeSlice) -> None:
        due = self._due
        now = self._clock()
        while due and due[0][0] <= now:
            turn.limit()
            stream = self._scheduled.pop(heappop(due)[1], None)
            if stream is not None:
                _pump(stream)


def send_all(sock: socket.socket, data: bytes | memoryview, run_id: str = "") -> None:
    """Send all bytes; the timeout of the socket is for each part, so that a slow but steady client may take longer.

    Args:
        sock: the socket.
        data: the bytes.
        run_id: the run that the log names; that of the current greenlet by default.

    Raises:
        OSError: the client has left, or reads nothing for so long.
    """
    try:
        sent = sock.send(data)
        while sent < len(data):
            sent += sock.send(memoryview(data)[sent:])
    except TimeoutError:
        seconds = sock.gettimeout()
        logger.info("client read nothing for %.0f s; closing its connection", seconds, extra={"run_id": run_id})
        raise


def encode_chunk(data: bytes) -> bytes:
    """Return data as a chunk of a response (RFC 9112 §7.1); without data nothing, since an empty chunk is the last."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def _pump(stream: "PacedStream") -> None:
    try:
        stream.pump()
    except Exception:
        logger.exception("a stream failed; closing its connection", extra={"run_id": stream.run_id})
        stream.abort()


class PacedStream:
    """Stream whose response has begun, on its connection.

    Attributes:
        ticket: number of the latest entry in the schedule; 0 before the first.
    """

    __slots__ = (
        "_connection", "_is_busy", "_is_chunked", "_is_gone", "_is_missed", "_is_over", "_is_ready", "_on_end",
        "_pacer", "_polls", "_stream", "ticket",
    )  # fmt: skip

    def __init__(
        self,
        stream: WaitingStream,
        connection: Connection,
        pacer: Pacer,
        *,
        is_chunked: bool,
        on_end: Callable[[Connection], None],
    ) -> None:
        """Take over a stream; ``on_end`` is called with the connection after the end of the response."""
        self._stream = stream
        self._connection = connection
        self._pacer = pacer
        self._on_end = on_end
        self._is_chunked = is_chunked
        self._is_busy = False  # whether a greenlet of its own advances or writes it
        self._is_missed = False  # whether ``pump`` was called meanwhile
        self._is_gone = False  # whether the client has disconnected
        self._is_over = False
        self._is_ready = False  # whether the pacer will call ``pump`` soon
        self._polls = False  # whether unread bytes keep the event loop from reporting that the client disconnects
        self.ticket = 0
        stream.on_wake = self._pump_soon
        connection.on_close = self._release
        connection.watch(self._on_readable)
        self._pump_soon()

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self._stream.run_id

    def pump(self) -> None:
        """Send the bytes that are due, and schedule the rest. Called by the pacer; does not block."""
        self._is_ready = False
        if self._is_over:
            return
        if self._is_gone or (self._polls and self._stream.is_disconnected()):
            self._connection.close()
        elif self._is_busy:
            self._is_missed = True  # that greenlet calls this again
        elif self._stream.may_block:
            self._spawn(self._advance)
        else:
            self._advance()

    def abort(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _pump_soon(self) -> None:
        if not self._is_ready:
            self._is_ready = True
            self._pacer.call_soon(self)

    def _on_readable(self) -> None:
        if self._stream.is_disconnected():
            self._is_gone = True
            self._pump_soon()  # the event loop itself must not block, and closing may
        else:  # the next request, which remains unread until this response has ended
            self._polls = True
            self._connection.unwatch()

    def _spawn(self, function: Callable[..., None], *args: object) -> None:
        self._is_busy = True
        self._connection.spawn(self._run_alone, function, *args)

    def _run_alone(self, function: Callable[..., None], *args: object) -> None:
        try:
            function(*args)
        except BaseException:  # also if the server stops
            self._connection.close()
            raise
        self._is_busy = False
        if self._is_missed:  # only then: a stream that may block would be advanced again and again
            self._is_missed = False
            self._pump_soon()

    def _advance(self) -> None:
        data = self._stream.advance()
        if self._is_over:  # the client left while the stream waited for a thread
            return
        if self._is_chunked:
            data = encode_chunk(data)
            if self._stream.until is None:
                data += LAST_CHUNK
        sent = 0
        try:
            if data:
                sent = self._connection.socket.send(data, 0, 0.0)  # type: ignore[call-arg] # gevent's: do not wait
        except BlockingIOError:
            pass
        except OSError:
            self._connection.close()
            return
        if sent == len(data):
            self._wait()
        elif self._is_busy:
            self._write(memoryview(data)[sent:])
        else:
            self._spawn(self._write, memoryview(data)[sent:])

    def _write(self, data: memoryview) -> None:
        """Write to a full socket, as slowly as the client reads."""
        try:
            send_all(self._connection.socket, data, self.run_id)
        except OSError:
            self._connection.close()
        else:
            self._wait()

    def _wait(self) -> None:
        until = self._stream.until
        if until is not None:
            self._pacer.schedule(self, until)
        else:
            self._connection.on_close = None
            self._connection.unwatch()
            self._release()
            self._on_end(self._connection)

    def _release(self) -> None:
        self._is_over = True
        self._pacer.cancel(self)
        self._stream.close()


class PacedWebSocket(PacedStream):
    """WebSocket on its connection: what arrives is read while all that is due has been written."""

    __slots__ = ("_is_paused", "_websocket")

    def __init__(self, stream: WebSocketStream, connection: Connection, pacer: Pacer) -> None:
        """Take over a WebSocket, with the bytes that were read with its handshake."""
        self._websocket = stream
        self._is_paused = False
        super().__init__(stream, connection, pacer, is_chunked=False, on_end=Connection.close)
        unread = connection.unread
        connection.unread = b""
        if unread:
            self._receive(unread)

    def _on_readable(self) -> None:
        if self._is_busy or self._websocket.is_full:
            self._is_paused = True
            self._connection.unwatch()
            return
        data = self._connection.receive()
        if data:
            self._receive(data)
        elif data is not None:
            self._is_gone = True
            self._connection.unwatch()
            self._pump_soon()

    def _receive(self, data: bytes) -> None:
        self._websocket.receive(data)
        if self._websocket.has_messages:
            self._connection.spawn(self._websocket.handle_messages)  # which calls on_wake
        else:
            self._pump_soon()

    def _wait(self) -> None:
        super()._wait()
        if self._is_paused and not self._is_over and not self._websocket.is_full:
            self._is_paused = False
            self._connection.watch(self._on_readable)

"""Requests that pass through WSGI: gevent's handler, adapted for thousands of long streams and for hostile clients.

The handler replaces private methods of gevent's, because its public interface offers no way to bound the time of a
request, to parse a head strictly, or to send the headers and the first event together. Each names its reason.

Invariants:

- Time limits bound sums: a client that sends a byte now and then is cut off like one that sends nothing.
- Nothing that a client does raises an error in the log.
"""

import io
import math
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from gevent import pywsgi

from persona_stream.core.clock import Clock, monotonic_wall_clock
from persona_stream.server import http11
from persona_stream.server.waiting import (
    LAST_CHUNK,
    Connection,
    PacedStream,
    PacedWebSocket,
    Pacer,
    encode_chunk,
    send_all,
)
from persona_stream.web.connections import DISPATCH_KEY, OWN_SOCKET_KEY
from persona_stream.web.delivery import EventStream
from persona_stream.web.pipeline import FastLane
from persona_stream.web.websocket import WebSocketStream

MAX_LINE_BYTES = 8192  # gevent responds with 414 to a request line of this length
CLOCK = monotonic_wall_clock()
_READ_BUFFER_BYTES = 1024  # Python's default of 8 KiB is held for as long as a stream is open
_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_MAX_DISCARDED_BYTES = 4 * 1024 * 1024  # of a refused body, so that the client can read the response


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Time limits for clients, in seconds."""

    # Longer than proxies keep connections (nginx: 60), or their requests would meet a connection that closes.
    idle_timeout: float = 75.0
    header_timeout: float = 20.0  # for a whole head, from its first byte; on a new connection from the beginning
    body_timeout: float = 20.0  # for a body, in addition to the time that it takes at ``min_body_rate``
    min_body_rate: float = 4096.0  # average, in bytes per second
    discard_timeout: float = 2.0  # for the rest of a request that already has its response
    write_timeout: float = 30.0  # until a client reads some of the response


class DeadlineReader(io.RawIOBase):
    """Raw reader of a connection with a deadline, which must be set before the first read.

    The timeout of the connection, which is for writes, is restored after each read.
    """

    def __init__(self, connection: socket.socket, clock: Clock, unread: bytes = b"") -> None:
        """Create a reader that returns the bytes ``unread`` first, which were read before."""
        super().__init__()
        self._connection = connection
        self.unread = unread
        self._clock = clock
        self._deadline = -math.inf
        self._seconds_per_byte = 0.0

    def set_deadline(self, seconds: float, min_rate: float = math.inf) -> None:
        """Set the deadline to ``seconds`` from now; received bytes extend it as ``min_rate`` allows, in bytes/s."""
        self._deadline = self._clock() + seconds
        self._seconds_per_byte = 1 / min_rate

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Wait for some bytes; raise ``TimeoutError`` after the deadline, ``OSError`` if the connection is broken."""
        if self.unread:
            size = min(len(buffer), len(self.unread))
            buffer[:size] = self.unread[:size]
            self.unread = self.unread[size:]
            return size
        left = self._deadline - self._clock()
        if left <= 0:
            raise TimeoutError("the client took too long")
        write_timeout = self._connection.gettimeout()
        self._connection.settimeout(left)
        try:
            received = self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(write_timeout)
        self._deadline += received * self._seconds_per_byte
        return received


class RequestHost(Protocol):
    """Server of requests.

    Attributes:
        is_draining: whether each connection closes after its current response.
        limits: time limits for clients.
        pacer: sender of the streams of all connections.
        fast_lane: routes that need no WSGI, if there are any.
    """

    is_draining: bool
    fast_lane: FastLane | None
    limits: HttpLimits
    pacer: Pacer

    def wait_for_request(self, connection: Connection) -> None:
        """Wait for the next request of a connection, which has had a response."""


class Handler(pywsgi.WSGIHandler):
    """Requests of one connection, as long as there is one to serve, and their responses."""

    # gevent's stubs declare these optional; gevent sets them before it calls the methods below.
    server: Any
    requestline: Any
    path: Any
    request_version: Any
    wsgi_input: Any

    # By its first argument: a client that reads nothing has effectively left, which is no error to log.
    ignored_socket_errors: tuple[Any, ...] = (*pywsgi.WSGIHandler.ignored_socket_errors, "timed out")

    def __init__(self, connection: Connection, server: RequestHost) -> None:
        sock = connection.socket
        sock.settimeout(server.limits.write_timeout)
        self._connection = connection
        self._is_released = False  # whether the connection waits, or belongs to a stream
        self._reader = DeadlineReader(sock, CLOCK, connection.unread)
        connection.unread = b""
        super().__init__(sock, connection.address, server, rfile=io.BufferedReader(self._reader, _READ_BUFFER_BYTES))

    def handle(self) -> None:
        """Serve requests until none is pending; errors of the socket mean that the client has left."""
        try:
            with suppress(OSError):
                while self.handle_one_request() and not (self._is_released or self.server.is_draining):
                    if not self._unread():
                        self._is_released = True
                        self.server.wait_for_request(self._connection)
                        break
        finally:
            if not self._is_released:
                self._connection.close()

    def _unread(self) -> bytes:
        """Return the bytes of the next request that were read with this one."""
        self._reader.set_deadline(-math.inf)
        try:
            buffered: bytes = self.rfile.peek()
        except TimeoutError:  # nothing is buffered
            return b""
        return buffered + self._reader.unread

    def read_requestline(self) -> str:
        """Read a request line within the time limits; gevent's version waits without any."""
        connection = self._connection
        self._reader.set_deadline(min(self.server.limits.header_timeout, connection.head_deadline - CLOCK()))
        connection.head_deadline = math.inf
        line = self.rfile.readline(MAX_LINE_BYTES)
        if line == b"\r\n":  # RFC 9112 §2.2: some clients send an extra line end after a body
            line = self.rfile.readline(MAX_LINE_BYTES)
        return str(line, "latin-1")

    def read_request(self, raw_requestline: str) -> bool:
        """Parse a head after a strict check of the request line; the host of an absolute target replaces ``Host``.

        gevent compares ``Connection`` as a whole, so that it would keep a connection open at ``TE, close``.
        """
        http11.validate_request_line(raw_requestline.encode("latin-1"))
        is_valid = bool(super().read_request(raw_requestline))
        self.path, host = http11.split_target(self.path)
        if host is not None:
            self.headers.replace("Host", host)
        self.close_connection = not http11.is_persistent(self.headers.joined("Connection"), self.request_version)
        return is_valid

    def MessageClass(self, file: io.BufferedReader, *_: object) -> Any:  # noqa: N802 - gevent's name
        """Parse the header fields; gevent calls this in place of ``http.client.HTTPMessage``, which is lenient."""
        lines: list[bytes] = []
        left = http11.MAX_HEAD_BYTES - len(self.requestline)
        while (line := file.readline(http11.MAX_HEAD_BYTES)) != b"\r\n":
            left -= len(line)
            if left < 0 or len(lines) == http11.MAX_HEADERS:
                raise http11.BadRequest("the head is too large", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            if not line:
                raise http11.BadRequest("the head is incomplete")
            lines.append(line)
        return http11.Headers(http11.parse_headers(lines, self.requestline.rpartition(" ")[2]))

    def _headers(self) -> Iterator[tuple[str, str]]:
        # Private in gevent: its version reads an email.message.Message, which ``Headers`` replaces.
        fields: http11.Headers = self.headers
        return fields.variables()

    def _connection_upgrade_requested(self) -> bool:
        # Private in gevent: its version passes the bare connection to the application as the body of an upgrade, and
        # what follows would not be read as the body that its length says.
        return False

    def get_environ(self) -> dict[str, Any]:
        """Return the WSGI environment, with a strict and bounded body."""
        limits = self.server.limits
        if self.server.is_draining:
            self.close_connection = True
        environ: dict[str, Any] = super().get_environ()
        expects_continue = http11.is_continue_expected(environ.get("HTTP_EXPECT", ""), self.request_version)
        length = None if "HTTP_TRANSFER_ENCODING" in environ else self.content_length or 0
        self.wsgi_input = http11.RequestBody(self.rfile, length, self._send_continue if expects_continue else None)
        environ["wsgi.input"] = self.wsgi_input
        environ[OWN_SOCKET_KEY] = self.socket
        if self.server.fast_lane is not None:
            environ[DISPATCH_KEY] = self.server.fast_lane.dispatch
        self._reader.set_deadline(limits.body_timeout, limits.min_body_rate)
        return environ

    def _send_continue(self) -> None:
        self.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def handle_one_request(self) -> Any:
        """Serve one request; send a response to a refused head before the connection closes."""
        result = super().handle_one_request()
        if isinstance(result, tuple):
            self.socket.sendall(result[1])
            self._lingering_close()
            return None
        return result

    def _handle_client_error(self, ex: Exception) -> tuple[str, bytes]:
        # Private in gevent: its version logs a traceback for each malformed request, and has one response for all.
        match ex:
            case TimeoutError():
                return _error_response(HTTPStatus.REQUEST_TIMEOUT, "the head took too long")
            case OSError():
                return "", b""  # the client has left
            case http11.BadRequest(status=status):
                return _error_response(HTTPStatus(status), str(ex))
            case _:
                return _error_response(HTTPStatus.BAD_REQUEST, "the request is malformed")

    def run_application(self) -> None:
        """Run the application, then read the rest of the body or close the connection."""
        super().run_application()
        body = self.wsgi_input
        if not body.is_over:
            self._reader.set_deadline(self.server.limits.discard_timeout)
            body.drain(_MAX_DISCARDED_BYTES)
        if not body.is_over:
            self._lingering_close()

    def process_result(self) -> None:
        """Write the response; a stream that has more to send later is left to the pacer."""
        stream = self.result
        if isinstance(stream, WebSocketStream):
            self._connection.unread = self._unread()
            self._is_released = True
            self.result = None  # or it would be closed now
            self.close_connection = True  # for HTTP
            PacedWebSocket(stream, self._connection, self.server.pacer)
            return
        if not isinstance(stream, EventStream) or not self.wsgi_input.is_over:
            super().process_result()
            return
        self.write(stream.advance())
        if stream.until is None:
            if self.response_use_chunked:
                self._sendall(LAST_CHUNK)
            return
        connection = self._connection
        connection.unread = self._unread()
        self._is_released = True
        self.result = None  # or it would be closed now
        on_end = Connection.close if self.close_connection else self.server.wait_for_request
        PacedStream(stream, connection, self.server.pacer, is_chunked=self.response_use_chunked, on_end=on_end)

    def _lingering_close(self) -> None:
        """Read for a while before closing: a close with unread bytes resets the connection and loses the response."""
        self.close_connection = True
        left = _MAX_DISCARDED_BYTES
        self._reader.set_deadline(self.server.limits.discard_timeout)
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
            while left > 0 and (read := len(self.rfile.read1(65536))):
                left -= read

    def log_request(self) -> None:
        """Log nothing: the log has one line for each run."""

    def _write_with_headers(self, data: bytes) -> None:
        # Private in gevent: its version sends the headers by themselves, and sending dominates the cost of a stream.
        self.headers_sent = True
        self.finalize_headers()
        if self.code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._announce_persistence()
        head = [b"HTTP/1.1 ", self.status or b"", b"\r\n"]
        for name, value in self.response_headers or ():
            head += (name, b": ", value, b"\r\n")
        head += (b"\r\n", self._framed(data))
        # No longer needed, and otherwise held for as long as the stream is open.
        self.response_headers = []
        self.environ = {}
        self.headers = pywsgi.WSGIHandler.headers
        self._sendall(b"".join(head))

    def _announce_persistence(self) -> None:
        """Decide whether the connection remains open, and add the header for it.

        gevent decides before the response has headers: a stream of HTTP/1.0, which ends with its connection, would be
        announced as ``keep-alive``.
        """
        fields = [field for field in self.response_headers or () if field[0].lower() != b"connection"]
        has_end = self.response_use_chunked or self.code in _WITHOUT_BODY or self.command == "HEAD"
        has_end = has_end or any(name.lower() == b"content-length" for name, _ in fields)
        if self.server.is_draining or not has_end or not self.wsgi_input.is_drainable(_MAX_DISCARDED_BYTES):
            self.close_connection = True
        if self.close_connection:
            fields.append((b"Connection", b"close"))
        elif self.request_version == "HTTP/1.0":
            fields.append((b"Connection", b"keep-alive"))
        self.response_headers = fields

    def _write(self, data: bytes, *_: object) -> None:
        # Private in gevent: its version joins a chunk from parts, which is slower, once for each event.
        if data:
            self._sendall(self._framed(data))

    def _framed(self, data: bytes) -> bytes:
        return encode_chunk(data) if self.response_use_chunked else data

    def _sendall(self, data: bytes) -> None:
        # Private in gevent: its version calls socket.sendall, which queries the buffer size each time and has one
        # timeout for all bytes, so that a slow but steady client would lose a large response.
        send_all(self.socket, data)
        self.response_length += len(data)


def _error_response(status: HTTPStatus, message: str) -> tuple[str, bytes]:
    """Return the response to a refused head, which contains nothing of the request."""
    text = f"{status.phrase}: {message}\n".encode()
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    return str(status.value), head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(text), text)

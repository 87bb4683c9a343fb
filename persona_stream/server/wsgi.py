"""gevent's own WSGI server, fitted for thousands of long streams, and for clients that mean harm.

One connection: its requests, one after the other, and their answers.

Bytes of a connection, which must come within a time that no dripping prolongs.

How long a client may take for a request.

What matters is the sum: who sends a byte now and then is never silent, and would hold a connection for ever.
"""

from __future__ import annotations

import io
import logging
import math
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer

from persona_stream.core.clock import Clock, monotonic_wall_clock
from persona_stream.server import http11
from persona_stream.server.http11 import BadRequest, Body, Headers


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Say how long is waited for a client, in seconds.

    Attributes:
        idle: for another request, after an answer. More than a proxy keeps its connections (nginx: 60), or its request
            meets a connection that closes.
        head: for a whole head, from its first byte; on a new connection from the beginning.
        body: for a body, beside what it takes at the least rate.
        least_bytes_per_second: that a body must come at on average.
        rest: for what is left of a request that was answered without it.
        taking: for a client to take some of what is sent.
    """

    idle_timeout: float = 75.0
    header_timeout: float = 20.0
    body_timeout: float = 20.0
    min_body_rate: float = 4096.0
    discard_timeout: float = 2.0
    write_timeout: float = 30.0


class DeadlineReader(io.RawIOBase):
    """Read from a connection, until a moment and no longer. Nothing is read before ``within`` has said until when.

    Args:
        connection: to read from; its own timeout, which is for writing, is as before after each read.
        clock: the moment in seconds.
    """

    def __init__(self, connection: socket.socket, clock: Clock) -> None:
        super().__init__()
        self._connection, self._clock = connection, clock
        self._until, self._more = -math.inf, 0.0

    def set_deadline(self, seconds: float, least_bytes_per_second: float = math.inf) -> None:
        """Wait so long from now on; and longer for what comes, as that rate has it."""
        self._until, self._more = self._clock() + seconds, 1 / least_bytes_per_second

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Wait for some bytes.

        Raises:
            TimeoutError: the time is over.
            OSError: the connection is broken.
        """
        left = self._until - self._clock()
        if left <= 0:
            raise TimeoutError("the client took too long")
        usual = self._connection.gettimeout()
        self._connection.settimeout(left)
        try:
            received = self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(usual)
        self._until += received * self._more
        return received


logger = logging.getLogger("persona_stream.server")

_READ_BUFFER_BYTES = 1024  # the default of 8 KiB is held for as long as a stream is open
_LONGEST_LINE = 8192  # bytes; gevent answers 414 to what is as long
_DISCARD_BYTES = 4 * 1024 * 1024  # of a refused body, so that the client gets to read why
_CLOCK = monotonic_wall_clock()


class ServerContext(Protocol):
    """Be the server of many connections, as far as one of them must know it."""

    is_draining: bool
    idle_connections: set[socket.socket]
    limits: HttpLimits


class Handler(WSGIHandler):
    """Take requests that can be read in one way only, in bounded time, and write their answers in few pieces."""

    # gevent says of these that they may be None, and sets them before it calls us.
    server: ServerContext
    requestline: Any
    wsgi_input: Any
    _is_first = True  # of its connection's requests, the one that is read next

    def __init__(self, sock: socket.socket, address: Any, server: Any) -> None:
        sock.settimeout(server.limits.write_timeout)
        self._receiver = DeadlineReader(sock, _CLOCK)
        super().__init__(sock, address, server, rfile=io.BufferedReader(self._receiver, _READ_BUFFER_BYTES))

    def handle(self) -> None:
        with suppress(OSError):  # the client is gone, and nobody else is to be told
            super().handle()

    # What comes.

    def read_requestline(self) -> str:
        limits = self.server.limits
        if not self._is_first:
            if self.server.is_draining:
                return ""
            self.server.idle_connections.add(self.socket)
            self._receiver.set_deadline(limits.idle_timeout)
            try:
                self.rfile.peek(1)
            finally:
                self.server.idle_connections.discard(self.socket)
        self._is_first = False
        self._receiver.set_deadline(limits.header_timeout)
        line = self.rfile.readline(_LONGEST_LINE)
        if line == b"\r\n":  # RFC 9112 §2.2: some clients end a body with a line that nobody counted
            line = self.rfile.readline(_LONGEST_LINE)
        return str(line, "latin-1")

    def read_request(self, raw_requestline: str) -> bool:
        http11.validate_request_line(raw_requestline.encode("latin-1"))
        return bool(super().read_request(raw_requestline))

    def MessageClass(self, file: io.BufferedReader, *_: object) -> Any:  # noqa: N802 - gevent's name
        lines: list[bytes] = []
        left = http11.MAX_HEAD_BYTES - len(self.requestline)
        while (line := file.readline(http11.MAX_HEAD_BYTES)) != b"\r\n":
            left -= len(line)
            if left < 0 or len(lines) == http11.MAX_HEADERS:
                raise BadRequest("the head is too large", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            if not line:
                raise BadRequest("the head has no end")
            lines.append(line)
        return Headers(http11.parse_headers(lines, self.requestline.rpartition(" ")[2]))

    def _headers(self) -> Iterator[tuple[str, str]]:
        fields: Headers = self.headers
        return fields.variables()

    def _connection_upgrade_requested(self) -> bool:
        # There is nothing to upgrade to, and gevent would hand over the bare connection for a body.
        return False

    def get_environ(self) -> dict[str, Any]:
        limits = self.server.limits
        if self.server.is_draining:
            self.close_connection = True
        environ: dict[str, Any] = super().get_environ()
        asks = environ.get("HTTP_EXPECT", "").lower() == "100-continue"
        length = None if "HTTP_TRANSFER_ENCODING" in environ else self.content_length or 0
        self.wsgi_input = environ["wsgi.input"] = Body(self.rfile, length, self._send_continue if asks else None)
        environ["persona_stream.socket"] = self.socket
        self._receiver.set_deadline(limits.body_timeout, limits.min_body_rate)
        return environ

    def _send_continue(self) -> None:
        self.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def handle_one_request(self) -> Any:
        result = super().handle_one_request()
        if isinstance(result, tuple):
            self.socket.sendall(result[1])
            self._lingering_close()
            return None
        return result

    def _handle_client_error(self, ex: Exception) -> tuple[str, bytes]:
        match ex:
            case TimeoutError():
                return _refusal(HTTPStatus.REQUEST_TIMEOUT, "the head took too long")
            case OSError():
                return "", b""  # the client is gone
            case BadRequest(status=status):
                return _refusal(HTTPStatus(status), str(ex))
            case _:
                return _refusal(HTTPStatus.BAD_REQUEST, "this is no request")

    def run_application(self) -> None:
        super().run_application()
        body = self.wsgi_input
        if not body.is_over:
            self._receiver.set_deadline(self.server.limits.discard_timeout)
            body.drain(_DISCARD_BYTES)
        if not body.is_over:
            self._lingering_close()

    def _lingering_close(self) -> None:
        """Read a little of what still comes, then close: a close with unread bytes would lose the answer."""
        self.close_connection = True
        left = _DISCARD_BYTES
        self._receiver.set_deadline(self.server.limits.discard_timeout)
        with suppress(OSError):  # nothing comes any more, which is as good
            self.socket.shutdown(socket.SHUT_WR)
            while left > 0 and (read := len(self.rfile.read1(65536))):
                left -= read

    # What goes.

    def log_request(self) -> None:
        """Write no line: the log has one for each run."""

    # By its first argument: a client that takes nothing is as good as gone, and no fault of ours to be logged.
    ignored_socket_errors: tuple[Any, ...] = (*WSGIHandler.ignored_socket_errors, "timed out")

    def _write_with_headers(self, data: bytes) -> None:
        # One send for the headers and the first event: sending is the largest item of a stream's cost.
        self.headers_sent = True
        self.finalize_headers()
        head = [b"HTTP/1.1 ", self.status or b"", b"\r\n"]
        for name, value in self.response_headers or ():
            head += (name, b": ", value, b"\r\n")
        if self.server.is_draining:
            head.append(b"Connection: close\r\n")
        head.append(b"\r\n")
        if data and self.response_use_chunked:
            head += (b"%x\r\n" % len(data), data, b"\r\n")
        elif data:
            head.append(data)
        # From here on nobody asks for these, and a stream would hold them for minutes.
        self.response_headers, self.environ, self.headers = [], {}, WSGIHandler.headers
        self._sendall(b"".join(head))

    def _write(self, data: bytes, *_: object) -> None:
        if data:
            self._sendall(b"%x\r\n%b\r\n" % (len(data), data) if self.response_use_chunked else data)

    def _sendall(self, data: bytes) -> None:
        try:
            # gevent's sendall asks the kernel for the buffer's size each time, and has one time for all that is sent:
            # who reads a large answer steadily, and is slow, would be cut.
            sent = self.socket.send(data)
            while sent < len(data):
                sent += self.socket.send(memoryview(data)[sent:])
        except TimeoutError:
            logger.info("a reader took nothing for %.0f s, and was cut", self.socket.gettimeout())
            raise
        self.response_length += len(data)


def _refusal(status: HTTPStatus, sentence: str) -> tuple[str, bytes]:
    """Write the answer to a head that cannot be told from others; nothing of what came is in it."""
    text = f"{status.phrase}: {sentence}\n".encode()
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    return str(status.value), head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(text), text)


BACKLOG = 2048  # with the default of 256, a burst of connections waits for the kernel's retry, a second later
_OWN_NEEDS = 100  # files that the process opens beside its connections


class Server(WSGIServer):
    """Serve an application on one address, in this process; or on a socket that several processes share.

    Attributes:
        is_draining: whether each connection closes after the answer that it carries.
        idle_connections: the connections that had an answer, and wait for another request.
        limits: how long a client may take.
    """

    handler_class: type[WSGIHandler] = Handler

    def __init__(
        self, listener: socket.socket | tuple[str, int], application: Any, limits: HttpLimits | None = None
    ) -> None:
        is_shared = isinstance(listener, socket.socket)
        # A pool, and not bare greenlets: stopping kills what is left in it, so that ``finally`` blocks run. And with a
        # bound: whoever comes when it is full waits in the backlog, and files are left for what we need ourselves.
        super().__init__(
            listener,
            application,
            backlog=None if is_shared else BACKLOG,
            spawn=Pool(_most_connections()),
            log=None,
            error_log=None,
        )
        if is_shared:
            self.max_accept = 1  # or the first worker that wakes would take a whole burst for itself
        self.is_draining = False
        self.idle_connections: set[socket.socket] = set()
        self.limits = limits or HttpLimits()

    def begin_drain(self) -> None:
        """Take no connection any more, and keep none for another request: a proxy then asks elsewhere by itself.

        Who sends a request just when its idle connection closes sees that break: HTTP/1.1 has no word to announce it.
        """
        self._do_read()  # who has connected already would be cut off
        self.close()
        self.is_draining = True
        for connection in self.idle_connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)  # what has arrived can still be read, and is answered


def _most_connections() -> int | None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else max(1, soft - _OWN_NEEDS)


def raise_file_limit(max_runs: int) -> str | None:
    """Raise the limit on open files as far as it goes; give a warning if that is too little for so many runs."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or hard >= max_runs + _OWN_NEEDS:
        return None
    return (
        f"this process may open {hard} files, and max_runs={max_runs} needs {max_runs + _OWN_NEEDS}:"
        f" raise the hard limit (ulimit -Hn), or set max_runs to {max(1, hard - _OWN_NEEDS)}"
    )

"""The server: accepts connections, and serves each request by the fast lane, or by WSGI in a greenlet.

A request takes the fast lane if it has arrived completely and nothing about it is unusual. Any other one, and above all
any that could be refused, is left to ``Handler``, which reads the same bytes again.
"""

import math
import resource
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

from flask import Response
from gevent import pool, pywsgi

from persona_stream.server import http11
from persona_stream.server.handler import CLOCK, MAX_LINE_BYTES, Handler, HttpLimits, RequestHost
from persona_stream.server.waiting import (
    LAST_CHUNK,
    Connection,
    PacedStream,
    PacedWebSocket,
    Pacer,
    encode_chunk,
    send_all,
)
from persona_stream.web.connections import OWN_SOCKET_KEY
from persona_stream.web.delivery import EventStream
from persona_stream.web.pipeline import FastLane, FastRoute
from persona_stream.web.websocket import WebSocketStream

BACKLOG = 2048  # connections; beyond gevent's 256, a burst waits a second for the kernel's retry
RESERVED_FILES = 100  # files that the process opens beside its connections
MAX_BODY_BYTES = 64 * 1024
_BODY_WAIT = 0.25  # seconds that a body may follow its head without a greenlet
_NO_BODY = ("204", "304")
_SPECIAL = frozenset(("HTTP_TRANSFER_ENCODING", "HTTP_EXPECT"))  # for ``Handler`` and Flask


class FastRequest(NamedTuple):
    """Request for a route of the fast lane.

    Attributes:
        head_bytes: size of the head with its empty line.
        size: size of the request; larger than the bytes it was parsed from if a part of the body has not arrived.
        closes: whether the client wants the connection to be closed after the response.
    """

    route: FastRoute
    environ: dict[str, Any]
    head_bytes: int
    size: int
    closes: bool


def parse_request(data: bytes, lane: FastLane, base: Mapping[str, Any], address: Any) -> FastRequest | None:
    """Parse the request at the beginning of the bytes; return ``None`` for one that ``Handler`` must serve.

    Args:
        data: the bytes.
        lane: the routes.
        base: the part of the environment that all requests share.
        address: the address of the client.
    """
    head_end = data.find(b"\r\n\r\n")
    line_end = data.find(b"\r\n")
    if not 0 <= head_end <= http11.MAX_HEAD_BYTES - 4 or line_end > MAX_LINE_BYTES - 4:
        return None
    line = data[: line_end + 2]
    method, target, version = (*line.decode("latin-1").rstrip("\r\n").split(" ", 2), "", "")[:3]
    path, _, query = target.partition("?")
    route = lane.find(method, path)
    if route is None or version != "HTTP/1.1":
        return None
    try:
        http11.validate_request_line(line)
        fields = http11.parse_headers(data[line_end + 2 : head_end + 2].splitlines(keepends=True), version)
    except http11.BadRequest:
        return None
    environ = {
        **base,
        **http11.wsgi_variables(fields),
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": version,
    }
    if isinstance(address, tuple):
        environ["REMOTE_ADDR"] = str(address[0])
        environ["REMOTE_PORT"] = str(address[1])
    length = int(environ.get("CONTENT_LENGTH", "0"))
    is_unusual = (
        len(fields) > http11.MAX_HEADERS
        or not _SPECIAL.isdisjoint(environ)
        or ("HTTP_UPGRADE" in environ) != route.rule.websocket
        or length > min(MAX_BODY_BYTES, lane.max_body_bytes)
        or (method == "GET" and length > 0)
    )
    if is_unusual:
        return None
    closes = not http11.is_persistent(environ.get("HTTP_CONNECTION", ""), version)
    head_bytes = head_end + 4
    return FastRequest(route, environ, head_bytes, head_bytes + length, closes)


class Server(pywsgi.WSGIServer):
    """WSGI server on one address, or on a socket that several processes share.

    Attributes:
        is_draining: whether each connection closes after its current response.
        limits: time limits for clients.
        pacer: sender of the streams of all connections.
        fast_lane: routes that need no WSGI, if there are any.
    """

    def __init__(
        self,
        listener: socket.socket | tuple[str, int],
        application: Any,
        limits: HttpLimits | None = None,
        fast_lane: FastLane | None = None,
    ) -> None:
        """Create a server of a WSGI application; requests for the routes of ``fast_lane`` do not pass through WSGI."""
        is_shared = isinstance(listener, socket.socket)
        backlog = None if is_shared else BACKLOG
        super().__init__(listener, application, backlog=backlog, spawn=None, log=None, error_log=None)
        if is_shared:
            self.max_accept = 1  # or the first worker to wake would accept a whole burst
        self.is_draining = False
        self.limits = limits or HttpLimits()
        self.pacer = Pacer(CLOCK)
        self.fast_lane = fast_lane
        self._greenlets = pool.Group()
        self._connections: set[Connection] = set()
        # Beyond the limit, connections wait in the backlog, and files are left for the process itself.
        self._max_connections = _max_connections()

    def full(self) -> bool:
        """Return whether no more connections are accepted."""
        return len(self._connections) >= self._max_connections

    def do_handle(self, *args: Any) -> None:
        """Wait for the first request of a new connection; gevent would start a greenlet for it."""
        sock, address = args
        connection = Connection(sock, address, self)
        self._connections.add(connection)
        connection.head_deadline = CLOCK() + self.limits.header_timeout
        connection.wait(self.limits.header_timeout)

    def wait_for_request(self, connection: Connection) -> None:
        """Wait for the next request of a connection, which has had a response."""
        connection.head_deadline = math.inf
        connection.body_deadline = math.inf
        if self.is_draining:
            connection.close()
        elif connection.unread:
            self.on_bytes(connection)
        else:
            connection.wait(self.limits.idle_timeout, is_idle=True)

    def on_bytes(self, connection: Connection) -> None:
        """Serve a request in a greenlet, once it has arrived or has been incomplete for a moment."""
        lane = None if self.is_draining else self.fast_lane
        if lane is None or not (request := parse_request(connection.unread, lane, self.environ, connection.address)):
            self.on_incomplete(connection)
        elif len(connection.unread) < request.size:
            self._wait_for_body(connection)
        else:
            self.spawn(self._serve_fast, connection, request, lane)

    def _wait_for_body(self, connection: Connection) -> None:
        """Wait a moment for the rest of a body, which most clients send just after the head."""
        now = CLOCK()
        connection.body_deadline = min(connection.body_deadline, now + _BODY_WAIT)
        if now < connection.body_deadline:
            connection.wait(connection.body_deadline - now)
        else:
            self.on_incomplete(connection)

    def on_incomplete(self, connection: Connection) -> None:
        """Serve or refuse a request by WSGI, in a greenlet that waits for the rest of it."""
        self.spawn(self._serve, connection)

    def on_closed(self, connection: Connection) -> None:
        """Accept another connection in place of this one."""
        self._connections.discard(connection)
        self._start_accepting_if_started()  # private in gevent: for servers that were full

    def spawn(self, function: Callable[..., object], *args: object) -> None:
        """Start a greenlet that ends with the server."""
        self._greenlets.spawn(function, *args)

    def _serve(self, connection: Connection) -> None:
        Handler(connection, self).handle()

    def _serve_fast(self, connection: Connection, request: FastRequest, lane: FastLane) -> None:
        connection.socket.settimeout(self.limits.write_timeout)
        is_open = False
        try:
            with suppress(OSError):
                is_open = respond(connection, request, lane, self)
        finally:
            if not is_open:
                connection.close()

    def stop(self, timeout: float | None = None) -> None:
        """Stop accepting, wait up to ``timeout`` seconds for responses, and close all connections."""
        self.close()
        self._greenlets.join(timeout=1.0 if timeout is None else timeout)
        self._greenlets.kill(timeout=1.0)  # runs their ``finally`` blocks
        for connection in tuple(self._connections):
            connection.close()

    def begin_drain(self) -> None:
        """Accept no more connections, and close the idle ones, so that a proxy uses another process.

        A client that sends a request while its idle connection closes sees that fail: HTTP/1.1 cannot announce it.
        """
        self._do_read()  # private in gevent: accepts pending connections, which the close would reset
        self.close()
        self.is_draining = True
        for connection in self._connections:
            if connection.is_idle:
                with suppress(OSError):
                    connection.socket.shutdown(socket.SHUT_RD)  # bytes that have arrived are still read and served


def _max_connections() -> float:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if soft == resource.RLIM_INFINITY else max(1, soft - RESERVED_FILES)


def raise_file_limit(max_runs: int) -> str | None:
    """Raise the soft limit on open files to the hard one; return a warning if it is too low for ``max_runs``."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or hard >= max_runs + RESERVED_FILES:
        return None
    return (
        f"this process may open {hard} files, and max_runs={max_runs} needs {max_runs + RESERVED_FILES}:"
        f" raise the hard limit (ulimit -Hn), or set max_runs to {max(1, hard - RESERVED_FILES)}"
    )


def respond(connection: Connection, request: FastRequest, lane: FastLane, host: RequestHost) -> bool:
    """Respond to a request whose bytes are at the beginning of ``connection.unread``, and remove them.

    Returns:
        Whether the connection remains open; otherwise the caller must close it.

    Raises:
        OSError: the client has left, or reads too slowly.
    """
    data = connection.unread
    connection.unread = data[request.size :]
    environ = request.environ
    environ[OWN_SOCKET_KEY] = connection.socket
    response = lane.respond(request.route, environ, data[request.head_bytes : request.size])
    body, status, headers = response.get_wsgi_response(environ)
    if isinstance(body, WebSocketStream):
        PacedWebSocket(body, connection, host.pacer)
        return True
    head = _encode_head(status, headers, closes=request.closes or host.is_draining)
    if not isinstance(body, EventStream):
        _send(connection, response, body, head)
    elif _start_stream(connection, body, head, host, closes=request.closes):
        return True
    if request.closes:
        return False
    host.wait_for_request(connection)
    return True


def _start_stream(connection: Connection, stream: EventStream, head: bytes, host: RequestHost, *, closes: bool) -> bool:
    """Send the head and the first events; return whether the pacer has taken over, because there is more."""
    try:
        data = stream.advance()
        has_more = stream.until is not None
        send_all(connection.socket, head + encode_chunk(data) + (b"" if has_more else LAST_CHUNK))
        if has_more:
            on_end = Connection.close if closes else host.wait_for_request
            PacedStream(stream, connection, host.pacer, is_chunked=True, on_end=on_end)
    except BaseException:  # also if the server stops
        stream.close()
        raise
    if not has_more:
        stream.close()
    return has_more


def _send(connection: Connection, response: Response, body: Iterable[bytes], head: bytes) -> None:
    try:
        if response.is_sequence:
            send_all(connection.socket, head + b"".join(body))
            return
        for data in body:
            if data:
                send_all(connection.socket, head + encode_chunk(data))
                head = b""
        send_all(connection.socket, head + LAST_CHUNK)
    finally:
        response.close()


def _encode_head(status: str, headers: list[tuple[str, str]], *, closes: bool) -> bytes:
    lines = [f"HTTP/1.1 {status}\r\n"]
    has_length = status[:3] in _NO_BODY
    for name, value in headers:
        lines.append(f"{name}: {value}\r\n")
        has_length = has_length or name.lower() == "content-length"
    lines.append(f"Date: {_format_date(int(CLOCK()))}\r\n")
    if not has_length:
        lines.append("Transfer-Encoding: chunked\r\n")
    if closes:
        lines.append("Connection: close\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("latin-1")


@lru_cache(1)
def _format_date(second: int) -> str:
    formatted: bytes = pywsgi.format_date_time(second)
    return formatted.decode()

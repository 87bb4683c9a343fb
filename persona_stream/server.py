"""gevent's own WSGI server, fitted for thousands of long streams."""

from __future__ import annotations

import resource
import socket
from contextlib import suppress
from typing import Any

from gevent.pool import Pool
from gevent.pywsgi import Input, WSGIHandler, WSGIServer

BACKLOG = 2048  # with the default of 256, a burst of connections waits for the kernel's retry, a second later
_READ_BUFFER_BYTES = 1024  # the default of 8 KiB is held for as long as a stream is open
_IDLE = 75.0  # seconds that a connection may say nothing between or within requests
_DISCARD_BYTES = 4 * 1024 * 1024  # of a refused body, so that the client gets to read why
_OWN_NEEDS = 100  # files that the process opens beside its connections


class _Handler(WSGIHandler):
    """Hand the connection to the application, write less often, and do not read refused bodies for ever."""

    server: Server
    _is_first = True  # of its connection's requests, the one that is read next

    def __init__(self, sock: socket.socket, address: Any, server: WSGIServer) -> None:
        sock.settimeout(_IDLE)
        super().__init__(sock, address, server, rfile=sock.makefile("rb", _READ_BUFFER_BYTES))

    def read_requestline(self) -> str:
        if self._is_first:
            self._is_first = False
            return str(super().read_requestline())
        if self.server.is_leaving:
            return ""
        self.server.idle.add(self.socket)
        try:
            return str(super().read_requestline())
        finally:
            self.server.idle.discard(self.socket)

    def get_environ(self) -> dict[str, Any]:
        if self.server.is_leaving:
            self.close_connection = True
        environ: dict[str, Any] = super().get_environ()
        environ["persona_stream.socket"] = self.socket
        return environ

    def _write_with_headers(self, data: bytes) -> None:
        # One send for the headers and the first event: sending is the largest item of a stream's cost.
        self.headers_sent = True
        self.finalize_headers()
        head = [b"HTTP/1.1 ", self.status or b"", b"\r\n"]
        for name, value in self.response_headers or ():
            head += (name, b": ", value, b"\r\n")
        if self.server.is_leaving:
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
        # gevent's sendall asks the kernel for the buffer's size each time; nearly always one send takes it all.
        sent = self.socket.send(data)
        self.response_length += sent
        if sent < len(data):
            super()._sendall(memoryview(data)[sent:])

    def run_application(self) -> None:
        super().run_application()
        if self.code == 413:
            self._refuse_rest()

    def _refuse_rest(self) -> None:
        """Read a little of a body that is too large, then close: a close with unread bytes would lose the answer."""
        self.close_connection = True
        self.socket.settimeout(2.0)
        left = _DISCARD_BYTES
        try:
            while left > 0 and (read := len(self.rfile.read1(65536))):
                left -= read
        except OSError:
            pass
        self.wsgi_input = _Discarded(self.rfile, 0)


class _Discarded(Input):
    def _discard(self) -> None:
        """Leave the rest of the body where it is: the connection is closed anyway."""


class Server(WSGIServer):
    """Serve an application on one address, in this process; or on a socket that several processes share.

    Attributes:
        is_leaving: whether each connection closes after the answer that it carries.
        idle: the connections that had an answer, and wait for another request.
    """

    handler_class: type[WSGIHandler] = _Handler

    def __init__(self, listener: socket.socket | tuple[str, int], application: Any) -> None:
        is_shared = isinstance(listener, socket.socket)
        # A pool, and not bare greenlets: stopping kills what is left in it, so that ``finally`` blocks run.
        super().__init__(
            listener, application, backlog=None if is_shared else BACKLOG, spawn=Pool(), log=None, error_log=None
        )
        if is_shared:
            self.max_accept = 1  # or the first worker that wakes would take a whole burst for itself
        self.is_leaving = False
        self.idle: set[socket.socket] = set()

    def leave(self) -> None:
        """Take no connection any more, and keep none for another request: a proxy then asks elsewhere by itself.

        Who sends a request just when its idle connection closes sees that break: HTTP/1.1 has no word to announce it.
        """
        self._do_read()  # who has connected already would be cut off
        self.close()
        self.is_leaving = True
        for connection in self.idle:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)  # what has arrived can still be read, and is answered


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

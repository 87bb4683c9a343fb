"""Tell whether a client is still there, without writing to it.

A WSGI application learns of a disconnect only when a write fails, and the first write after a FIN succeeds
(flask #4385, gunicorn #677). The kernel knows at once: POLLRDHUP says that the other side has closed, also when
unread bytes are waiting. A client that closes only its sending half looks the same, and counts as gone.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Mapping
from typing import Any

from gevent import monkey

# Where servers put the connection: ours, gunicorn's two gevent workers, werkzeug's development server.
_KEYS = ("persona_stream.socket", "gunicorn.socket", "gunicorn.sock", "werkzeug.socket")
WRITE_DEADLINE = 30.0  # seconds that a reader may refuse to read before it is cut

# gevent's own poll may switch; asking with timeout 0 never blocks, so the original is the right one.
_poller = monkey.get_original("select", "poll")()
_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR | select.POLLNVAL


class Presence:
    """Watch the connection of one request."""

    __slots__ = ("_socket", "_timeout")

    def __init__(self, environ: Mapping[str, Any]) -> None:
        found = next((environ[key] for key in _KEYS if key in environ), None)
        self._socket: socket.socket | None = found
        self._timeout: float | None = None
        if found is not None:
            self._timeout = found.gettimeout()
            found.settimeout(WRITE_DEADLINE)

    def gone(self) -> bool:
        """Tell whether the client has closed the connection. ``False`` under a server that hides its sockets."""
        if self._socket is None:
            return False
        descriptor = self._socket.fileno()
        if descriptor < 0:
            return True
        _poller.register(descriptor, _GONE)
        try:
            return bool(_poller.poll(0))
        finally:
            _poller.unregister(descriptor)

    def release(self) -> None:
        """Give the connection back as it was, for the next request on it."""
        if self._socket is not None and self._socket.fileno() >= 0:
            self._socket.settimeout(self._timeout)

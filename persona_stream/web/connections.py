"""Client connections: disconnect detection without writing, and the registry of open streams.

A WSGI application learns of a disconnect only from a failed write, and the first write after a FIN succeeds
(flask #4385, gunicorn #677). The kernel knows at once: POLLRDHUP reports that the peer has closed, even with unread
data. A client that closes only its sending half looks the same and counts as disconnected.
"""

import select
import socket
from collections.abc import Callable, Mapping
from typing import Any

from gevent import monkey

from persona_stream.concurrency import Wakeup
from persona_stream.core.clock import Clock

# Environ keys of the connection: this server, gunicorn's two gevent workers, werkzeug's development server.
OWN_SOCKET_KEY = "persona_stream.socket"
"""Environ key of the connection in this package's server."""
DISPATCH_KEY = "persona_stream.dispatch"
"""Environ key of the function that dispatches messages, in servers that can hand over a connection to a WebSocket."""
_SOCKET_KEYS = (OWN_SOCKET_KEY, "gunicorn.socket", "gunicorn.sock", "werkzeug.socket")

WRITE_TIMEOUT = 30.0  # seconds
"""Seconds that a client may stop reading before its connection is closed."""

HURRY_TIMEOUT = 5.0
"""Seconds that streams have to send the rest of their answers at once."""

# gevent's poll may switch greenlets; with timeout 0 the original never blocks.
_poller = monkey.get_original("select", "poll")()
_DISCONNECT_EVENTS = select.POLLRDHUP | select.POLLHUP | select.POLLERR | select.POLLNVAL


class DisconnectDetector:
    """Detector for a closed connection of one request; also sets its write timeout."""

    __slots__ = ("_original_timeout", "_socket")

    def __init__(self, environ: Mapping[str, Any]) -> None:
        connection = next((environ[key] for key in _SOCKET_KEYS if key in environ), None)
        self._socket: socket.socket | None = connection
        self._original_timeout: float | None = None
        if connection is not None:
            self._original_timeout = connection.gettimeout()
            connection.settimeout(WRITE_TIMEOUT)

    def is_disconnected(self) -> bool:
        """Return whether the client has closed the connection; ``False`` if the server does not expose its sockets."""
        if self._socket is None:
            return False
        descriptor = self._socket.fileno()
        if descriptor < 0:
            return True
        _poller.register(descriptor, _DISCONNECT_EVENTS)
        try:
            return bool(_poller.poll(0))
        finally:
            _poller.unregister(descriptor)

    def restore(self) -> None:
        """Restore the timeout of the connection for its next request."""
        if self._socket is not None and self._socket.fileno() >= 0:
            self._socket.settimeout(self._original_timeout)


class StreamRegistry:
    """Registry of the open streams of this process, each by the function that makes it check for a hand-over.

    Attributes:
        is_handing_over: Whether streams of clients that resume by themselves must end now.
        is_hurrying: Whether streams must send the rest of their answers without pauses.
        is_closing: Whether connections that have no more runs must end.
    """

    def __init__(self) -> None:
        self._streams: set[Callable[[], None]] = set()
        self._stream_removed = Wakeup()
        self._is_aborted = False
        self.is_handing_over = False
        self.is_hurrying = False
        self.is_closing = False

    @property
    def count(self) -> int:
        """Number of open streams."""
        return len(self._streams)

    def add(self, wake: Callable[[], None]) -> None:
        """Register an open stream."""
        self._streams.add(wake)

    def remove(self, wake: Callable[[], None]) -> None:
        """Remove a closed stream."""
        self._streams.discard(wake)
        self._stream_removed.set()

    def hand_over(self) -> None:
        """End the streams of all clients that resume by themselves."""
        self.is_handing_over = True
        self._wake_all()

    def hurry(self) -> None:
        """Make all streams send the rest of their answers at once."""
        self.is_hurrying = True
        self._wake_all()
        self._stream_removed.set()

    def close_unused(self) -> None:
        """End the connections that have no more runs."""
        self.is_closing = True
        self._wake_all()

    def _wake_all(self) -> None:
        for wake in self._streams:
            wake()

    def wait_until_none(self, clock: Clock, seconds: float) -> None:
        """Wait until the last stream has closed, at most so many seconds, and a few if the streams hurry."""
        deadline = clock() + seconds
        while self._streams and not self._is_aborted and clock() < deadline:
            if self.is_hurrying:
                deadline = min(deadline, clock() + HURRY_TIMEOUT)
            self._stream_removed.wait(deadline - clock())

    def abort_wait(self) -> None:
        """End ``wait_until_none`` at once."""
        self._is_aborted = True
        self._stream_removed.set()

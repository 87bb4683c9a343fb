"""Tell whether a client is still there, without writing to it.

A WSGI application learns of a disconnect only when a write fails, and the first write after a FIN succeeds
(flask #4385, gunicorn #677). The kernel knows at once: POLLRDHUP says that the other side has closed, also when
unread bytes are waiting. A client that closes only its sending half looks the same, and counts as gone.

The streams that are open in this process, and when their readers must go.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Mapping
from typing import Any, Protocol

from gevent import monkey

from persona_stream.concurrency import Wakeup
from persona_stream.core.clock import Clock

# Where servers put the connection: ours, gunicorn's two gevent workers, werkzeug's development server.
_KEYS = ("persona_stream.socket", "gunicorn.socket", "gunicorn.sock", "werkzeug.socket")
WRITE_DEADLINE = 30.0  # seconds that a reader may refuse to read before it is cut

# gevent's own poll may switch; asking with timeout 0 never blocks, so the original is the right one.
_poller = monkey.get_original("select", "poll")()
_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR | select.POLLNVAL


class DisconnectDetector:
    """Watch the connection of one request."""

    __slots__ = ("_socket", "_timeout")

    def __init__(self, environ: Mapping[str, Any]) -> None:
        found = next((environ[key] for key in _KEYS if key in environ), None)
        self._socket: socket.socket | None = found
        self._timeout: float | None = None
        if found is not None:
            self._timeout = found.gettimeout()
            found.settimeout(WRITE_DEADLINE)

    def is_disconnected(self) -> bool:
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

    def restore(self) -> None:
        """Give the connection back as it was, for the next request on it."""
        if self._socket is not None and self._socket.fileno() >= 0:
            self._socket.settimeout(self._timeout)


class Stream(Protocol):
    """Be read by somebody."""

    def wake(self) -> None:
        """Have it look at once whether it must go."""
        ...


class StreamRegistry:
    """Know the open streams.

    Attributes:
        are_sent_on: whether readers that go on elsewhere by themselves shall do so now.
    """

    def __init__(self) -> None:
        self._open: set[Stream] = set()
        self._closed = Wakeup()
        self._hurried = False
        self.is_handing_over = False

    @property
    def count(self) -> int:
        """How many streams are open."""
        return len(self._open)

    def opened(self, stream: Stream) -> None:
        """Count a stream in."""
        self._open.add(stream)

    def closed(self, stream: Stream) -> None:
        """Count a stream out."""
        self._open.discard(stream)
        self._closed.set()

    def hand_over(self) -> None:
        """Send on all who go on elsewhere by themselves."""
        self.is_handing_over = True
        for stream in self._open:
            stream.wake()

    def wait_until_none(self, clock: Clock, seconds: float) -> None:
        """Wait until the last stream has closed, or so many seconds."""
        until = clock() + seconds
        while self._open and not self._hurried and clock() < until:
            self._closed.wait(until - clock())

    def abort_wait(self) -> None:
        """Have ``wait_until_none`` wait no longer."""
        self._hurried = True
        self._closed.set()

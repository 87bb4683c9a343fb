"""gevent's own WSGI server, fitted for thousands of long streams, and for clients that mean harm."""

from __future__ import annotations

import resource
import socket
from contextlib import suppress
from typing import Any

from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer

from persona_stream.server.handler import Handler
from persona_stream.server.limits import Limits

BACKLOG = 2048  # with the default of 256, a burst of connections waits for the kernel's retry, a second later
_OWN_NEEDS = 100  # files that the process opens beside its connections


class Server(WSGIServer):
    """Serve an application on one address, in this process; or on a socket that several processes share.

    Attributes:
        is_leaving: whether each connection closes after the answer that it carries.
        idle: the connections that had an answer, and wait for another request.
        limits: how long a client may take.
    """

    handler_class: type[WSGIHandler] = Handler

    def __init__(
        self, listener: socket.socket | tuple[str, int], application: Any, limits: Limits | None = None
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
        self.is_leaving = False
        self.idle: set[socket.socket] = set()
        self.limits = limits or Limits()

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

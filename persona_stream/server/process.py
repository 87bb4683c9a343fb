"""One process that serves: from its first request to its last answer."""

from __future__ import annotations

import gc
import logging
import socket

import gevent

from persona_stream.app import build_app, start_background_tasks
from persona_stream.concurrency import set_error_handler
from persona_stream.logging import capture_root_logger
from persona_stream.server.wsgi import Server, raise_file_limit
from persona_stream.settings.schema import Settings

logger = logging.getLogger("persona_stream")

_JUST_COME = 0.25  # seconds: a request that was on its way when we left is answered as ever
_LAST_RECORDS = 5.0  # seconds
LAST_PIECES = 12.0  # seconds: an answer takes at most 10 to deliver


class ServerProcess:
    """Serve an application of these settings.

    Raises:
        ConfigurationError: it cannot be served like this.
        OSError: the address is not to be had.
    """

    def __init__(self, settings: Settings, listener: socket.socket | tuple[str, int]) -> None:
        app, self._desk = build_app(settings)
        capture_root_logger()
        set_error_handler(lambda error: logger.error("an error that nobody caught", exc_info=error))
        self._drain = settings.drain_time
        if warning := raise_file_limit(settings.max_runs):
            logger.warning("%s", warning)
        self._server = Server(listener, app)
        self._server.start()
        start_background_tasks(self._desk)
        # What is alive now stays: taking it out of collections makes them short, and streams even. Most of what comes
        # is in no circle: often looking at a little of it, and seldom at all, stops nobody for a millisecond.
        gc.collect()
        gc.freeze()
        gc.set_threshold(5_000, 200, 100)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_port)

    def stop(self) -> None:
        """Start nothing new, let what runs finish, let its readers have it, and stop."""
        runs, readers = self._desk.runs, self._desk.streams
        if runs.active_count:
            logger.info("shutting down: %d runs may finish within %.0f s", runs.active_count, self._drain)
        if runs.is_shared:
            self._server.begin_drain()  # whoever comes now is better served elsewhere
            gevent.sleep(_JUST_COME)
        runs.stop_accepting()
        if runs.is_shared:
            readers.hand_over()
        runs.drain(self._drain)
        readers.wait_until_none(self._desk.clock, LAST_PIECES)
        self._server.stop(timeout=1)
        runs.close()
        self._desk.executors.close()
        self._desk.store.close(_LAST_RECORDS)
        self._desk.closing.close()

    def force_stop(self) -> None:
        """Have ``stop`` wait for nothing any more."""
        self._desk.runs.abort_drain()
        self._desk.streams.abort_wait()

"""One server process, from its first request to its shutdown."""

import gc
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

import gevent
from gevent import monkey

from persona_stream.app import build_app, start_background_tasks
from persona_stream.concurrency import set_error_handler, yield_when_logging
from persona_stream.logging import capture_root_logger
from persona_stream.server.wsgi import Server, raise_file_limit
from persona_stream.settings.schema import Settings
from persona_stream.web.pipeline import FastLane

logger = logging.getLogger("persona_stream")

# Of the system: the event loop may not turn any more when this process ends.
_start_thread: Callable[[Callable[[], None], tuple[()]], int] = monkey.get_original("_thread", "start_new_thread")
_sleep: Callable[[float], None] = monkey.get_original("time", "sleep")

_IN_FLIGHT_DELAY = 0.25  # seconds in which requests that are on their way still arrive
_STORE_TIMEOUT = 5.0  # seconds
EXIT_TIMEOUT = 5.0  # seconds for exit handlers, which the backend may have registered
DELIVERY_TIMEOUT = 12.0  # seconds; pacing takes at most 10 to deliver an answer


def limit_exit_handlers() -> None:
    """End this process in ``EXIT_TIMEOUT`` seconds, even if exit handlers or threads of the backend do not end."""
    _start_thread(_exit_late, ())


def _exit_late() -> None:
    _sleep(EXIT_TIMEOUT)
    with suppress(OSError):
        os.write(2, b"persona-stream: exit handlers or threads of the backend did not end in time\n")
    os._exit(0)


def ignore_signals() -> None:
    """Ignore the signals that would end the process without a drain, unless it handles them.

    A handler that does nothing is not inherited by other programs, unlike ``SIG_IGN``.
    """
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda number, frame: None)


class ServerProcess:
    """Application with its HTTP server on an address, or on a socket that workers share.

    Raises:
        ConfigurationError: the application cannot start.
        OSError: the address cannot be bound.
    """

    def __init__(self, settings: Settings, listener: socket.socket | tuple[str, int]) -> None:
        gevent.config.track_greenlet_tree = False  # records the stack at each spawn, for 12 µs and a kilobyte
        app, self._services = build_app(settings)
        capture_root_logger()
        yield_when_logging()
        set_error_handler(lambda error: logger.error("unhandled exception", exc_info=error))
        self._drain_time = settings.drain_time
        if warning := raise_file_limit(settings.max_runs):
            logger.warning("%s", warning)
        self._services.executors.begin()
        self._server = Server(listener, app, fast_lane=FastLane(app, self._services))
        self._server.start()
        start_background_tasks(self._services)
        # Collections pause every stream. Objects of the start are frozen, which shortens a collection; and as few new
        # objects are in cycles, the young generation is collected often and the others rarely.
        gc.collect()
        gc.freeze()
        gc.set_threshold(5_000, 200, 100)

    @property
    def port(self) -> int:
        """Port of the listener."""
        return int(self._server.server_port)

    @property
    def placements(self) -> Sequence[str]:
        """Where the queries of each backend run; the default backend comes first."""
        return self._services.executors.placements()

    def stop(self) -> None:
        """Shut down: accept no runs, wait for those in progress and for their delivery, then close everything."""
        runs = self._services.runs
        streams = self._services.streams
        if runs.active_count:
            logger.info("shutting down: waiting up to %.0f s for %d runs", self._drain_time, runs.active_count)
        if runs.is_shared:
            self._server.begin_drain()  # other processes serve new requests
            gevent.sleep(_IN_FLIGHT_DELAY)
        runs.stop_accepting()
        if runs.is_shared:
            streams.hand_over()
        runs.drain(self._drain_time)
        streams.close_unused()
        streams.wait_until_none(self._services.clock, DELIVERY_TIMEOUT)
        self._server.stop(timeout=1)
        runs.close()
        self._services.executors.close()
        self._services.store.close(_STORE_TIMEOUT)
        self._services.closing.close()

    def force_stop(self) -> None:
        """Make ``stop`` wait for no run and no pause of a stream; at the second call, for nothing at all."""
        streams = self._services.streams
        if streams.is_hurrying:
            streams.abort_wait()
        self._services.runs.abort_drain()
        streams.hurry()

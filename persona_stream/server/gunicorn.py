"""Several server processes on one address, which gunicorn starts, replaces and stops."""

import logging
import signal
import sys
from collections.abc import Callable

import gevent
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.workers.ggevent import GeventWorker

from persona_stream.errors import ConfigurationError
from persona_stream.instrumentation import factory, metrics
from persona_stream.server import process, wsgi
from persona_stream.settings.schema import Settings

logger = logging.getLogger("persona_stream")

_BLOCKED_TIMEOUT = 30  # seconds; a worker whose event loop is blocked for longer is replaced


class StreamWorker(GeventWorker):  # type: ignore[misc] # gunicorn has no annotations
    """gunicorn worker that runs a ``ServerProcess`` instead of gunicorn's own server."""

    alive: bool
    _process: process.ServerProcess

    def load_wsgi(self) -> None:
        """Do nothing: ``run`` creates the application together with its server."""

    def run(self) -> None:
        """Serve until a signal arrives, then shut down."""
        starting = gevent.spawn(process.ServerProcess, self.app.settings, self.sockets[0])
        while not starting.ready():  # a worker process may take minutes to import the backend
            self.notify()
            starting.join(0.1)
        try:
            self._process = starting.get()
        except ConfigurationError as error:
            print(f"persona-stream: {error}", file=sys.stderr, flush=True)
            sys.exit(Arbiter.APP_LOAD_ERROR)
        for placement in self._process.placements:
            logger.info("%s", placement)
        while self.alive:
            self.notify()
            gevent.sleep(0.5)
        stopping = gevent.spawn(self._process.stop)
        while not stopping.ready():
            self.notify()
            gevent.sleep(0.1)

    def init_signals(self) -> None:
        """Shut down at a hangup too, and ignore the signals that would end the process."""
        super().init_signals()
        for number in (signal.SIGUSR2, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        process.ignore_signals()
        signal.signal(signal.SIGHUP, self.handle_hangup)

    def handle_hangup(self, sig: int, frame: object) -> None:
        """Shut down."""
        self.alive = False

    def handle_exit(self, sig: int, frame: object) -> None:
        """Shut down; at the second signal, without waiting."""
        if not self.alive:
            self._process.force_stop()
        self.alive = False

    handle_quit = handle_exit


class GunicornServer(BaseApplication):  # type: ignore[misc] # as above
    """gunicorn application that keeps the configured number of workers running."""

    def __init__(self, settings: Settings, on_ready: Callable[[int], None]) -> None:
        self.settings = settings
        self._on_ready = on_ready
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's configuration from the settings."""
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        for name, value in {
            "bind": f"{host}:{self.settings.port}",
            "workers": self.settings.workers,
            "worker_class": StreamWorker,
            "backlog": wsgi.BACKLOG,
            "timeout": _BLOCKED_TIMEOUT,
            # After it gunicorn kills the worker, and its streams have no terminal event.
            "graceful_timeout": int(self.settings.drain_time + process.DELIVERY_TIMEOUT) + 10,
            "loglevel": "warning",
            "control_socket_disable": True,
            "child_exit": lambda arbiter, worker: factory.mark_process_dead(worker.pid),
            "when_ready": lambda arbiter: self._on_ready(arbiter.LISTENERS[0].getsockname()[1]),
        }.items():
            self.cfg.set(name, value)

    def load(self) -> None:
        """Do nothing: each worker creates the application."""


def serve_workers(settings: Settings, on_ready: Callable[[int], None]) -> int:
    """Serve until a signal arrives, and return the exit code; ``on_ready`` is called with the port."""
    try:
        with metrics.multiprocess_dir():
            GunicornServer(settings, on_ready).run()
    except SystemExit as exit_:
        return 2 if exit_.code == Arbiter.APP_LOAD_ERROR else int(exit_.code or 0)
    return 0

"""Several processes that serve one address: gunicorn starts them, replaces them, and stops them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import gevent
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.workers.ggevent import GeventWorker

from persona_stream.errors import ConfigurationError
from persona_stream.instrumentation.multiprocess import mark_process_dead, multiprocess_dir
from persona_stream.server.process import LAST_PIECES, ServerProcess
from persona_stream.server.wsgi import BACKLOG
from persona_stream.settings.schema import Settings

_BLOCKED = 30  # seconds: a worker whose hub is blocked for longer is replaced, for its other streams stand still


class StreamWorker(GeventWorker):  # type: ignore[misc] # gunicorn has no annotations
    """Serve with our own server instead of gunicorn's, and stop as one process alone does."""

    alive: bool
    _serving: ServerProcess

    def load_wsgi(self) -> None:
        """Leave it to ``run``: an application is made together with its server."""

    def run(self) -> None:
        try:
            self._serving = ServerProcess(self.app.settings, self.sockets[0])
        except ConfigurationError as error:
            print(f"persona-stream: {error}", file=sys.stderr, flush=True)
            sys.exit(Arbiter.APP_LOAD_ERROR)
        while self.alive:
            self.notify()
            gevent.sleep(0.5)
        stopping = gevent.spawn(self._serving.stop)
        while not stopping.ready():
            self.notify()
            gevent.sleep(0.1)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop; when told so a second time, wait for nothing."""
        if not self.alive:
            self._serving.force_stop()
        self.alive = False

    handle_quit = handle_exit


class GunicornServer(BaseApplication):  # type: ignore[misc] # as above
    """Keep so many workers."""

    def __init__(self, settings: Settings, on_ready: Callable[[int], None]) -> None:
        self.settings, self._greet = settings, on_ready
        super().__init__()

    def load_config(self) -> None:
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        for name, value in {
            "bind": f"{host}:{self.settings.port}",
            "workers": self.settings.workers,
            "worker_class": StreamWorker,
            "backlog": BACKLOG,
            "timeout": _BLOCKED,
            # After it gunicorn kills, and no stream gets an ending: it must never come first.
            "graceful_timeout": int(self.settings.drain_time + LAST_PIECES) + 10,
            "loglevel": "warning",
            "control_socket_disable": True,
            "child_exit": lambda arbiter, worker: mark_process_dead(worker.pid),
            "when_ready": lambda arbiter: self._greet(arbiter.LISTENERS[0].getsockname()[1]),
        }.items():
            self.cfg.set(name, value)

    def load(self) -> None:
        """Leave it to the workers."""


def serve_workers(settings: Settings, on_ready: Callable[[int], None]) -> int:
    """Serve until a signal says to stop, and give the exit code.

    Args:
        settings: among them the number of workers.
        greet: called with the port when the workers are started.
    """
    try:
        with multiprocess_dir():
            GunicornServer(settings, on_ready).run()
    except SystemExit as ended:
        return 2 if ended.code == Arbiter.APP_LOAD_ERROR else int(ended.code or 0)
    return 0

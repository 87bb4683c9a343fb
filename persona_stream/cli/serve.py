"""``persona-stream serve``: the server, from its first line on the terminal to its last answer."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from typing import Any

import click
import gevent
from gevent.event import Event

from persona_stream import __version__, state
from persona_stream.app import build
from persona_stream.cli import reload
from persona_stream.cli.options import loaded, settings_options
from persona_stream.errors import StartError
from persona_stream.server import Server, raise_file_limit
from persona_stream.settings import Settings
from persona_stream.tokens import issue
from persona_stream.watchdog import Watchdog
from persona_stream.web.desk import Desk

logger = logging.getLogger("persona_stream")

_LAST_PIECES = 12.0  # seconds: an answer takes at most 10 to deliver
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command()
@settings_options
@click.option("--reload", "reloads", is_flag=True, help="Start again when a source file changes (for development).")
def serve(reloads: bool, **options: Any) -> int:
    """Serve the streams over HTTP."""
    if reloads:
        return reload.run(sys.argv[1:])
    settings = loaded(options)
    app, desk = build(settings)
    if warning := raise_file_limit(settings.max_runs):
        logger.warning("%s", warning)
    told = _told_to_stop(desk)
    server = Server((settings.host, settings.port), app)
    try:
        server.start()
    except OSError as error:
        raise StartError(
            f"Cannot listen on {settings.host}:{settings.port} ({os.strerror(error.errno or 0)}):"
            " choose another with --port"
        ) from None
    advice = " Run it with --executor thread." if settings.executor == "greenlet" else ""
    Watchdog(advice=advice).start()
    # What is alive now stays: taking it out of collections makes them short, and streams even.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    _greet(settings, server.server_port)
    told.wait()
    _stop(server, desk, settings.drain_time)
    return 0


def _told_to_stop(desk: Desk) -> Event:
    """Give the event that the first SIGTERM or SIGINT sets; a second signal tells the draining to hurry."""
    told = Event()

    def tell() -> None:
        if told.is_set():
            desk.runs.hurry()
            desk.readers.hurry()
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, tell)
    return told


def _stop(server: Server, desk: Desk, drain: float) -> None:
    """Start nothing new, let what runs finish, let its readers have it, and stop."""
    if desk.runs.under_way:
        logger.info("shutting down: %d runs may finish within %.0f s", desk.runs.under_way, drain)
    desk.runs.drain(drain)
    desk.readers.wait_until_none(desk.clock, _LAST_PIECES)
    server.stop(timeout=1)


def _greet(settings: Settings, port: int) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{port}"
    click.echo(f"persona_stream {__version__}: backend {settings.backend}, executor {settings.executor}")
    if settings.jwt_secret or settings.jwt_public_key or settings.jwks_url or settings.host not in _LOOPBACK:
        # Tokens of a configured secret, or of a server that others can reach, do not belong in a log.
        click.echo(f"Page:  {address}/   (a token: persona-stream token --user NAME)")
    else:
        secret, _ = state.signing_secret(settings, os.environ)
        token = issue(secret, "demo", 86_400.0, settings=settings)
        click.echo(f"Page:  {address}/#token={token}")
        click.echo(f"Token: {token}")
    sys.stdout.flush()

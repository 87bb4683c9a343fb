"""``persona-stream serve``: the server, from its first line on the terminal to its last answer."""

from __future__ import annotations

import os
import signal
import sys
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import click
import gevent
from gevent.event import Event

from persona_stream import __version__
from persona_stream import state_dir as state
from persona_stream.auth.jwt import issue
from persona_stream.cli import reload
from persona_stream.cli.options import loaded, settings_options
from persona_stream.errors import StartError
from persona_stream.serving import Serving
from persona_stream.settings.schema import Settings

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
# Who listens for everybody has no address of its own that a browser could open.
_OPENED_AT = {str(IPv4Address(0)): "127.0.0.1", str(IPv6Address(0)): "::1"}


@click.command()
@settings_options
@click.option("--reload", "reloads", is_flag=True, help="Start again when a source file changes (for development).")
def serve(reloads: bool, **options: Any) -> int:
    """Serve the streams over HTTP."""
    if reloads:
        return reload.run(sys.argv[1:])
    settings = loaded(options)
    return _alone(settings) if settings.workers == 1 else _together(settings)


def _alone(settings: Settings) -> int:
    told = Event()
    try:
        serving = Serving(settings, (settings.host, settings.port))
    except OSError as error:
        raise StartError(
            f"Cannot listen on {settings.host}:{settings.port} ({os.strerror(error.errno or 0)}):"
            " choose another with --port"
        ) from None

    def tell() -> None:
        if told.is_set():
            serving.hurry()
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, tell)
    _greet(settings, serving.port)
    told.wait()
    serving.stop()
    return 0


def _together(settings: Settings) -> int:
    if settings.redis_url is None:
        raise StartError(
            "workers above 1 need a Redis, or a run could only be read in the process that runs it: set redis_url"
        )
    if _secret_is_made(settings):
        raise StartError("workers above 1 need a secret that all of them share: set jwt_secret")
    try:
        from persona_stream import workers
    except ImportError:
        raise StartError('workers above 1 need gunicorn: pip install "persona_stream[server]"') from None
    return workers.serve(settings, lambda port: _greet(settings, port))


def _secret_is_made(settings: Settings) -> bool:
    return not (settings.jwt_secret or settings.jwt_public_key or settings.jwks_url)


def _greet(settings: Settings, port: int) -> None:
    host = _OPENED_AT.get(settings.host, settings.host)
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    click.echo(f"persona_stream {__version__}: backend {settings.backend}, executor {settings.executor}")
    if _secret_is_made(settings) and settings.host in _LOOPBACK:
        secret, _ = state.signing_secret(settings, os.environ)
        token = issue(secret, "demo", 86_400.0, settings=settings)
        click.echo(f"Page:  {address}/#token={token}")
        click.echo(f"Token: {token}")
    else:
        # Tokens of a configured secret, or of a server that others can reach, do not belong in a log.
        click.echo(f"Page:  {address}/   (a token: persona-stream token --user NAME)")
    sys.stdout.flush()

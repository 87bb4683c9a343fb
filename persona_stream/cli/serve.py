"""``persona-stream serve``: the server, from its first line on the terminal to its last answer.

``serve --reload``: run the server in a child process, and start it again when a source file changes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import click
import gevent
from gevent.event import Event

from persona_stream import __version__
from persona_stream.auth.jwt import issue_token
from persona_stream.cli.options import load_settings_from, settings_options
from persona_stream.errors import ConfigurationError
from persona_stream.server.process import ServerProcess
from persona_stream.settings.schema import Settings
from persona_stream.state_dir import get_signing_secret

_EVERY = 0.5  # seconds
_PACKAGE = Path(__file__).resolve().parent.parent
_SKIPPED = {"node_modules", "__pycache__", "site-packages"}


def run(arguments: Sequence[str]) -> int:
    """Serve with these arguments, less ``--reload``, again and again; give the exit code of the last time."""
    command = [sys.executable, "-m", "persona_stream", *(word for word in arguments if word != "--reload")]
    seen = _sources()
    child = subprocess.Popen(command)  # nosec B603 # noqa: S603 - our own command, as the user typed it
    try:
        while True:
            time.sleep(_EVERY)
            now = _sources()
            if now != seen:
                seen = now
                click.echo("A source file changed: starting again", err=True)
                _stop(child)
                child = subprocess.Popen(command)  # nosec B603 # noqa: S603 - as above
    except KeyboardInterrupt:
        return _stop(child)
    finally:
        _stop(child)


def _stop(child: subprocess.Popen[bytes]) -> int:
    """Stop the child at once: the second signal tells it not to wait for its runs."""
    for _ in range(2):
        if child.poll() is None:
            child.terminate()
            time.sleep(0.1)
    return child.wait()


def _sources() -> dict[Path, int]:
    """Give every source file that may matter, with the moment it was changed."""
    found: dict[Path, int] = {}
    for root in {Path.cwd(), _PACKAGE}:
        for file in root.rglob("*.py"):
            if not any(part in _SKIPPED or part.startswith(".") for part in file.relative_to(root).parts):
                try:
                    found[file] = file.stat().st_mtime_ns
                except FileNotFoundError:  # deleted while we looked
                    continue
    return found


_LOOPBACK = ("127.0.0.1", "::1", "localhost")
# Who listens for everybody has no address of its own that a browser could open.
_OPENED_AT = {str(IPv4Address(0)): "127.0.0.1", str(IPv6Address(0)): "::1"}


@click.command()
@settings_options
@click.option("--reload", "reloads", is_flag=True, help="Start again when a source file changes (for development).")
def serve(reloads: bool, **options: Any) -> int:
    """Serve the streams over HTTP."""
    if reloads:
        return run(sys.argv[1:])
    settings = load_settings_from(options)
    return _serve_single(settings) if settings.workers == 1 else _serve_workers(settings)


def _serve_single(settings: Settings) -> int:
    told = Event()
    try:
        serving = ServerProcess(settings, (settings.host, settings.port))
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {settings.host}:{settings.port} ({os.strerror(error.errno or 0)}):"
            " choose another with --port"
        ) from None

    def tell() -> None:
        if told.is_set():
            serving.force_stop()
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, tell)
    _print_banner(settings, serving.port)
    told.wait()
    serving.stop()
    return 0


def _serve_workers(settings: Settings) -> int:
    if settings.redis_url is None:
        raise ConfigurationError(
            "workers above 1 need a Redis, or a run could only be read in the process that runs it: set redis_url"
        )
    if _secret_is_made(settings):
        raise ConfigurationError("workers above 1 need a secret that all of them share: set jwt_secret")
    try:
        from persona_stream.server import gunicorn as workers
    except ImportError:
        raise ConfigurationError('workers above 1 need gunicorn: pip install "persona_stream[server]"') from None
    return workers.serve(settings, lambda port: _print_banner(settings, port))


def _secret_is_made(settings: Settings) -> bool:
    return not (settings.jwt_secret or settings.jwt_public_key or settings.jwks_url)


def _print_banner(settings: Settings, port: int) -> None:
    host = _OPENED_AT.get(settings.host, settings.host)
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    click.echo(f"persona_stream {__version__}: backend {settings.backend}, executor {settings.executor}")
    if _secret_is_made(settings) and settings.host in _LOOPBACK:
        secret, _ = get_signing_secret(settings, os.environ)
        token = issue_token(secret, "demo", 86_400.0, settings=settings)
        click.echo(f"Page:  {address}/#token={token}")
        click.echo(f"Token: {token}")
    else:
        # Tokens of a configured secret, or of a server that others can reach, do not belong in a log.
        click.echo(f"Page:  {address}/   (a token: persona-stream token --user NAME)")
    sys.stdout.flush()

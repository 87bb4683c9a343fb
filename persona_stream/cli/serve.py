"""``persona-stream serve``: start the server in this process, in several workers, or with automatic reload."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import click
import gevent.event

from persona_stream import __version__, errors, state_dir
from persona_stream.auth.jwt import issue_token
from persona_stream.cli.settings import SettingsCommand, load_settings_from, settings_options
from persona_stream.extras import install_command
from persona_stream.server.process import ServerProcess, ignore_signals, limit_exit_handlers
from persona_stream.settings.schema import Settings
from persona_stream.settings.types import is_loopback

_EPILOG = """\b
Examples:
  persona-stream serve                                  the demo
  persona-stream serve --backend my_bot:ask --reload    a function of yours
  persona-stream serve --config settings.toml           settings from a file
"""
_POLL_INTERVAL = 0.5  # seconds
_SECOND_SIGNAL_DELAY = 0.1  # seconds
_TOKEN_LIFETIME = 86_400.0  # seconds
_PACKAGE = Path(__file__).resolve().parent.parent
_IGNORED_DIRECTORIES = {"node_modules", "__pycache__", "site-packages"}
# A browser cannot open the unspecified addresses.
_BROWSABLE_HOSTS = {str(IPv4Address(0)): "127.0.0.1", str(IPv6Address(0)): "::1"}


@click.command(cls=SettingsCommand, epilog=_EPILOG)
@settings_options
@click.option("--reload", "reloads", is_flag=True, help="Restart when a source file changes (for development).")
def serve(reloads: bool, **options: object) -> int:
    """Start the server."""
    if reloads:
        return _serve_reloading()
    settings = load_settings_from(options).settings
    return _serve_single(settings) if settings.workers == 1 else _serve_workers(settings)


def _serve_single(settings: Settings) -> int:
    stopping = gevent.event.Event()
    ignore_signals()  # before the backend is imported, which may handle them
    try:
        process = ServerProcess(settings, (settings.host, settings.port))
    except OSError as error:
        raise errors.ConfigurationError(
            f"Cannot listen on {settings.host}:{settings.port} ({os.strerror(error.errno or 0)}):"
            " choose another port with --port"
        ) from None

    def on_signal() -> None:
        if stopping.is_set():
            process.force_stop()
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, on_signal)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
            gevent.signal_handler(number, stopping.set)
    _print_banner(settings, process.port, process.placements)
    stopping.wait()
    process.stop()
    limit_exit_handlers()
    return 0


def _serve_workers(settings: Settings) -> int:
    if settings.redis_url is None:
        raise errors.ConfigurationError("workers above 1 need Redis to share their runs: set redis_url")
    if _uses_generated_secret(settings):
        raise errors.ConfigurationError("workers above 1 need a shared secret: set jwt_secret")
    try:
        from persona_stream.server.gunicorn import serve_workers
    except ImportError:
        raise errors.ConfigurationError(f"workers above 1 need gunicorn: {install_command('server')}") from None
    return serve_workers(settings, lambda port: _print_banner(settings, port, ()))


def _serve_reloading() -> int:
    """Run the server in a child process, and restart it when a source file changes; return its last exit code."""
    command = [sys.executable, "-m", "persona_stream", *(word for word in sys.argv[1:] if word != "--reload")]
    # SIGTERM, from a supervisor or an IDE, must end the child too. gevent prints KeyboardInterrupt, but not SystemExit.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)
    sources = _source_times()
    child = subprocess.Popen(command)  # nosec B603 # noqa: S603 - this command, as the user typed it
    try:
        while True:
            time.sleep(_POLL_INTERVAL)
            current = _source_times()
            if current != sources:
                sources = current
                click.echo("A source file changed; restarting", err=True)
                _stop(child)
                child = subprocess.Popen(command)  # nosec B603 # noqa: S603 - as above
    except SystemExit:
        return _stop(child)
    finally:
        _stop(child)


def _exit(*_: object) -> None:
    raise SystemExit


def _stop(child: subprocess.Popen[bytes]) -> int:
    """Stop the child without waiting for its runs, which takes a second signal."""
    for _ in range(2):
        if child.poll() is None:
            child.terminate()
            time.sleep(_SECOND_SIGNAL_DELAY)
    return child.wait()


def _source_times() -> dict[Path, int]:
    """Return the modification time of each Python file in the current directory and in this package."""
    times: dict[Path, int] = {}
    for root in {Path.cwd(), _PACKAGE}:
        for file in root.rglob("*.py"):
            if not any(part in _IGNORED_DIRECTORIES or part.startswith(".") for part in file.relative_to(root).parts):
                try:
                    times[file] = file.stat().st_mtime_ns
                except FileNotFoundError:  # deleted meanwhile
                    continue
    return times


def _uses_generated_secret(settings: Settings) -> bool:
    return not (settings.jwt_secret or settings.jwt_public_key or settings.jwks_url)


def _print_banner(settings: Settings, port: int, placements: Sequence[str]) -> None:
    """Print the version, where queries run if it is known, and the address of the page."""
    host = _BROWSABLE_HOSTS.get(settings.host, settings.host)
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    default, *others = placements or [f"{settings.backend} in {settings.workers} server processes"]
    click.echo(f"persona_stream {__version__}: {default}")
    for placement in others:
        click.echo(placement)
    user, login = "", ""
    if settings.auth == "off":
        user = "   (no token needed: auth is off)"
    elif _uses_generated_secret(settings) and is_loopback(settings.host):
        secret, _ = state_dir.get_signing_secret(settings, os.environ)
        token = issue_token(secret, "demo", _TOKEN_LIFETIME, scope="chat admin", settings=settings)
        user = login = f"#token={token}"
    else:
        # A token for a configured secret, or for a server that other machines reach, must not end up in a log.
        user = "   (create a token: persona-stream token --user NAME)"
        login = '   (... --scope "chat admin")'
    click.echo(f"Page:      {url}/{user}")
    click.echo(f"Dashboard: {url}/dashboard{login}")
    click.echo(f"API docs:  {url}/docs")
    if login.startswith("#"):
        click.echo(f"Token:     {token}")
    click.echo("Stop:      Ctrl-C")
    sys.stdout.flush()

"""``persona-stream work``: a Celery worker that runs queries of servers with ``--executor celery``."""

import os
import sys
from typing import Any

import click
import msgspec

from persona_stream.cli.settings import SettingsCommand, load_settings_from, settings_options
from persona_stream.errors import ConfigurationError
from persona_stream.extras import install_command
from persona_stream.settings import schema

POOLS = ("prefork", "gevent")
DEFAULT_GEVENT_CONCURRENCY = 100


@click.command(cls=SettingsCommand)
@settings_options
@click.option(
    "--pool",
    default="prefork",
    show_default=True,
    help="How queries run: prefork, one in each process; or gevent, for functions that wait through Python's sockets.",
)
@click.option("-c", "--concurrency", type=click.IntRange(1), help="Queries at once. [default: CPUs; gevent: 100]")
@click.option("--queues", help="Queues to consume, separated by commas. [default: those of all configured backends]")
def work(pool: str, concurrency: int | None, queues: str | None, **options: Any) -> None:
    """Run queries for servers, as a Celery worker."""
    settings = load_settings_from(options).settings
    if settings.redis_url is None:
        raise ConfigurationError("work writes the answers to Redis: set redis_url, as on the servers")
    if pool == "threads":
        raise ConfigurationError("pool threads cannot stop a query: use prefork, or gevent for functions that wait")
    if pool not in POOLS:
        raise ConfigurationError(f"pool must be {' or '.join(POOLS)}, not {pool}")
    try:
        from persona_stream.executors.celery import app, worker
    except ImportError:
        raise ConfigurationError(f"work needs Celery: {install_command('celery')}") from None
    if concurrency is None:
        concurrency = DEFAULT_GEVENT_CONCURRENCY if pool == "gevent" else os.cpu_count() or 1
    own = (app.queue_of(name) for name in (schema.DEFAULT, *(config.name for config in settings.backends)))
    names = tuple(name.strip() for name in (queues or ",".join(dict.fromkeys(own))).split(",") if name.strip())
    encoded = msgspec.json.encode(worker.WorkOptions(settings, pool, concurrency, names), enc_hook=str)
    command = [
        *(sys.executable, "-m", "celery", "--app", worker.__name__, "worker"),
        *("--pool", pool, "--concurrency", str(concurrency), "--queues", ",".join(names)),
        *("--without-gossip", "--without-mingle", "--loglevel", settings.log_level.upper()),
        *(["--disable-prefetch"] if app.is_redis(settings) else []),
    ]
    # Celery decides on patching by reading its command line before it imports anything, so it must be the program.
    os.execve(sys.executable, command, {**os.environ, worker.OPTIONS_VARIABLE: encoded.decode()})  # nosec B606 # noqa: S606 - the options are checked

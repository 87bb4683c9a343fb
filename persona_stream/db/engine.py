"""The way to a database: SQLite in one file, or PostgreSQL.

What it looks like when a database is out of reach.

Native threads that may block, for greenlets that may not.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import gevent
from gevent.threadpool import ThreadPool
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from persona_stream.concurrency import reduce_switch_interval
from persona_stream.errors import ConfigurationError, Unavailable

_BUSY = 5.0  # seconds that SQLite waits for another process that writes
_CONNECT = 3  # seconds


def database_url(database_url: str, folder: Path) -> URL:
    """Give the address of a database: ``sqlite:///`` alone is a file in ``folder``.

    Raises:
        ConfigurationError: it is none, or one of a kind that is not served.
    """
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        raise ConfigurationError("database_url is no address of a database: see docs/STORE.md") from None
    match url.get_backend_name():
        case "sqlite":
            file = Path(url.database) if url.database else folder / "persona_stream.sqlite"
            return URL.create("sqlite", database=str(file))
        case "postgresql":
            return url.set(drivername="postgresql+psycopg")
        case other:
            raise ConfigurationError(f"database_url must begin with sqlite:/// or postgresql://, not {other}")


def open_engine(url: URL, connections: int) -> Engine:
    """Give an engine with so many connections.

    Raises:
        ConfigurationError: the driver is not installed.
    """
    options: dict[str, Any] = {"pool_size": connections, "max_overflow": 0, "pool_timeout": _BUSY}
    if url.get_backend_name() == "sqlite":
        _make_private(Path(url.database or ""))
        made = create_engine(url, connect_args={"timeout": _BUSY}, **options)
        event.listen(made, "connect", _prepare)
        return made
    # A connection that a proxy has cut in the night is replaced before it is used.
    return create_engine(url, connect_args={"connect_timeout": _CONNECT}, pool_pre_ping=True, **options)


def _make_private(file: Path) -> None:
    """Make a file that is not there yet for its owner alone: it will hold what people asked."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(OSError):  # it is there by now, or cannot be: SQLite takes it as it is, or says so
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _prepare(connection: Any, _: object) -> None:
    # Readers and the writer do not wait for each other; what is committed survives the death of the process, and the
    # last moments before a power failure may be lost.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


CONNECTION_ERRORS = (OperationalError, InterfaceError, PoolTimeoutError, OSError)
"""What is raised then. A thread that does not answer in time raises ``TimeoutError``, which is one of the last."""


def unavailable_error() -> Unavailable:
    """Say so to a client."""
    return Unavailable("The database is out of reach: try again in a moment", retry_after=2)


def error_summary(error: Exception) -> str:
    """Give the first line of what a driver says, which has no values of ours in it."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return str(cause).partition("\n")[0][:300]


T = TypeVar("T")


class DatabaseThreads:
    """Call functions in so many threads. Whoever calls waits, while others move on."""

    def __init__(self, count: int) -> None:
        reduce_switch_interval()
        self._pool = ThreadPool(count)

    def run(self, function: Callable[[], T], seconds: float | None = None) -> T:
        """Give what a function returns, or raise what it raises.

        Raises:
            TimeoutError: it took longer. It goes on, and nobody hears of it.
        """

        # The pool writes a traceback for whatever is raised in it, also when somebody deals with it.
        def caught() -> tuple[T | None, BaseException | None]:
            try:
                return function(), None
            except Exception as error:  # noqa: BLE001 # it is raised again, where somebody waits for it
                return None, error

        with gevent.Timeout(seconds, TimeoutError("a thread did not answer in time")):
            value, error = self._pool.spawn(caught).get()
        if error is not None:
            raise error
        result: T = value
        return result

    def stop(self) -> None:
        """Wait for nothing, and let threads end that have nothing to do."""
        self._pool.maxsize = 0

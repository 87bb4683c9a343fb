"""SQLAlchemy engine for SQLite or PostgreSQL, its thread pool, and the classification of outages."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import gevent
from gevent.threadpool import ThreadPool
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from persona_stream.concurrency import reduce_switch_interval
from persona_stream.errors import ConfigurationError, Unavailable

T = TypeVar("T")

LOCK_TIMEOUT = 5.0  # seconds that SQLite waits for another process that writes, and the pool for a connection
CONNECT_TIMEOUT = 3  # seconds

CONNECTION_ERRORS = (OperationalError, InterfaceError, PoolTimeoutError, OSError)
"""Exceptions of an outage. They include ``TimeoutError``, an ``OSError``, of a thread that takes too long."""


def database_url(database_url: str, folder: Path) -> URL:
    """Parse the address of a database; ``sqlite:///`` alone is a file in ``folder``.

    Raises:
        ConfigurationError: the address is invalid, or its kind of database is not supported.
    """
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        raise ConfigurationError("database_url is not the address of a database: see docs/STORE.md") from None
    match url.get_backend_name():
        case "sqlite":
            file = Path(url.database) if url.database else folder / "persona_stream.sqlite"
            return URL.create("sqlite", database=str(file))
        case "postgresql":
            return url.set(drivername="postgresql+psycopg")
        case other:
            raise ConfigurationError(f"database_url must begin with sqlite:/// or postgresql://, not {other}")


def open_engine(url: URL, connections: int) -> Engine:
    """Create an engine with a pool of so many connections."""
    options: dict[str, Any] = {"pool_size": connections, "max_overflow": 0, "pool_timeout": LOCK_TIMEOUT}
    if url.get_backend_name() == "sqlite":
        _create_private_file(Path(url.database or ""))
        engine = create_engine(url, connect_args={"timeout": LOCK_TIMEOUT}, **options)
        event.listen(engine, "connect", _set_pragmas)
        return engine
    # pool_pre_ping replaces a connection that a proxy has closed in the meantime, before it is used.
    return create_engine(url, connect_args={"connect_timeout": CONNECT_TIMEOUT}, pool_pre_ping=True, **options)


def _create_private_file(file: Path) -> None:
    """Create a missing file with access for its owner alone: it will hold users' questions."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(OSError):  # it exists, or cannot be created: then SQLite opens it as it is, or raises
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _set_pragmas(connection: Any, _: object) -> None:
    # WAL: readers and the writer do not block each other. NORMAL: commits survive the death of the process, but the
    # last ones may be lost in a power failure.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def unavailable_error() -> Unavailable:
    """Return the error that clients get during an outage."""
    return Unavailable("The database is unavailable; retry in 2 s", retry_after=2)


def error_summary(error: Exception) -> str:
    """Return the first line of a driver's error, which contains no values from statements."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return str(cause).partition("\n")[0][:300]


class DatabaseThreads:
    """Native threads for functions that block; the calling greenlet waits while others run."""

    def __init__(self, count: int) -> None:
        reduce_switch_interval()
        self._pool = ThreadPool(count)

    def run(self, function: Callable[[], T], seconds: float | None = None) -> T:
        """Return the result of a function that runs in one of the threads, or raise its exception.

        Raises:
            TimeoutError: it takes longer than ``seconds``. It continues, and its result is discarded.
        """

        # The pool prints a traceback for each exception that leaves the function, even if it is handled here.
        def capture_error() -> tuple[T | None, BaseException | None]:
            try:
                return function(), None
            except Exception as error:  # noqa: BLE001 # raised again in the calling greenlet
                return None, error

        with gevent.Timeout(seconds, TimeoutError("the database thread did not respond in time")):
            value, error = self._pool.spawn(capture_error).get()
        if error is not None:
            raise error
        return cast("T", value)

    def stop(self) -> None:
        """End the idle threads, without waiting for busy ones."""
        self._pool.maxsize = 0

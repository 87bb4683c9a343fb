"""SQLAlchemy engine for SQLite or PostgreSQL: its schema version, its thread pool, the classification of outages.

An empty database gets the tables, an older one is migrated.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import gevent
from gevent.threadpool import ThreadPool
from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, exc, inspect, make_url, text

from persona_stream.concurrency import Wakeup, reduce_switch_interval
from persona_stream.db.tables import metadata
from persona_stream.errors import ConfigurationError, Unavailable

T = TypeVar("T")

LOCK_TIMEOUT = 5.0  # seconds that SQLite waits for another process that writes, and the pool for a connection
CONNECT_TIMEOUT = 3  # seconds
STOP_TIMEOUT = 1.0  # seconds that a thread may take to end

LATEST_REVISION = "0003"
"""Revision of ``tables.py``; ``migrations/versions`` has the steps that lead to it."""

_MIGRATIONS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 5_150_150  # the key of PostgreSQL's advisory lock around schema changes

# SQLite's codes CORRUPT and NOTADB, PostgreSQL's data_corrupted and index_corrupted.
_DAMAGE_CODES = (11, 26, "XX001", "XX002")


class DamagedDatabase(OSError):
    """Database whose data is damaged; the text is the driver's."""


CONNECTION_ERRORS = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, OSError)
"""Exceptions of an outage. ``OSError`` includes ``DamagedDatabase``, and the ``TimeoutError`` of a slow thread."""


def database_url(database_url: str, folder: Path) -> URL:
    """Parse the address of a database; ``sqlite:///`` alone is a file in ``folder``.

    Raises:
        ConfigurationError: the address is invalid, or its kind of database is not supported.
    """
    try:
        url = make_url(database_url)
    except (exc.ArgumentError, ValueError):
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
        engine = create_engine(url, connect_args={"timeout": LOCK_TIMEOUT}, **options)
        event.listen(engine, "connect", _set_pragmas)
        event.listen(engine, "handle_error", _translate_damage, retval=True)
        create_missing_file(engine)
        return engine
    # pool_pre_ping replaces a connection that a proxy has closed in the meantime, before it is used.
    engine = create_engine(url, connect_args={"connect_timeout": CONNECT_TIMEOUT}, pool_pre_ping=True, **options)
    event.listen(engine, "handle_error", _translate_damage, retval=True)
    return engine


def _translate_damage(context: ExceptionContext) -> BaseException | None:
    """Return ``DamagedDatabase`` for an error of damaged data.

    It is not handled as a disconnection: SQLAlchemy would close the connection before its cursor, and SQLite would keep
    the locks of such a connection.
    """
    error = context.original_exception
    code = getattr(error, "sqlite_errorcode", None) or getattr(error, "sqlstate", None)
    if (code & 0xFF if isinstance(code, int) else code) not in _DAMAGE_CODES:
        return None
    return DamagedDatabase(str(error))


def is_file_missing(engine: Engine) -> bool:
    """Return whether the file of an SQLite database does not exist; its open connections write into nothing."""
    file = engine.url.database
    return engine.dialect.name == "sqlite" and bool(file) and not Path(file or "").exists()


def create_missing_file(engine: Engine) -> None:
    """Create the missing file of an SQLite database with access for its owner alone: it will hold users' questions."""
    if not is_file_missing(engine):
        return
    file = Path(engine.url.database or "")
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(OSError):  # it exists, or cannot be created: then SQLite opens it as it is, or raises
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _set_pragmas(connection: Any, _: object) -> None:
    # WAL: readers and the writer do not block each other. NORMAL: commits survive the death of the process, but the
    # last ones may be lost in a power failure.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def ensure_schema(engine: Engine) -> None:
    """Create the tables of an empty database, and migrate an older SQLite file.

    Raises:
        ConfigurationError: the tables have another revision; the text says what to do.
    """
    with engine.begin() as connection:
        _lock_schema(connection)
        revision = _current_revision(connection)
        if revision is None:
            # Imported only for an empty database: it takes longer than the start of the store.
            from alembic import migration, script

            metadata.create_all(connection)
            revisions = script.ScriptDirectory(str(_MIGRATIONS))
            migration.MigrationContext.configure(connection).stamp(revisions, LATEST_REVISION)
        elif revision > LATEST_REVISION:
            found = f"{revision}; this release: {LATEST_REVISION}"
            raise ConfigurationError(
                f"The database has the tables of a newer release ({found}): upgrade persona_stream"
            )
        elif revision < LATEST_REVISION:
            if connection.dialect.name != "sqlite":
                found = f"an older release ({revision})"
                raise ConfigurationError(f"The database has the tables of {found}: run `persona-stream db upgrade`")
            migrate(connection, "head")


def migrate(connection: Connection, revision: str) -> None:
    """Migrate the tables to a revision: ``head``, ``base``, or a revision's name."""
    from alembic import command, config

    options = config.Config()
    options.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    options.attributes["connection"] = connection
    current = _current_revision(connection)
    is_downgrade = revision == "base" or (revision != "head" and current is not None and revision < current)
    (command.downgrade if is_downgrade else command.upgrade)(options, revision)


def version_of(engine: Engine) -> str | None:
    """Return the revision of the tables, or ``None`` for a database without tables."""
    with engine.connect() as connection:
        return _current_revision(connection)


def _current_revision(connection: Connection) -> str | None:
    if "alembic_version" not in inspect(connection).get_table_names():
        return None
    revision: Any = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if revision is None else str(revision)


def _lock_schema(connection: Connection) -> None:
    """Block other processes that start at the same time until the transaction ends."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})


def unavailable_error() -> Unavailable:
    """Return the error that clients get during an outage."""
    return Unavailable("The database is unavailable; retry in 2 s", retry_after=2)


def error_summary(error: Exception) -> str:
    """Return the first line of a driver's error, which contains no values from statements."""
    cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
    return str(cause).partition("\n")[0][:300]


class DatabaseThreads:
    """Native threads for functions that block; the calling greenlet waits while others run."""

    def __init__(self, count: int) -> None:
        reduce_switch_interval()
        self._pool = ThreadPool(count)
        self._native_ids: set[int] = set()

    def run(self, function: Callable[[], T], seconds: float | None = None) -> T:
        """Return the result of a function that runs in one of the threads, or raise its exception.

        Raises:
            TimeoutError: it takes longer than ``seconds``. It continues, and its result is discarded.
        """

        # The pool prints a traceback for each exception that leaves the function, even if it is handled here.
        def capture_error() -> tuple[T | None, BaseException | None]:
            self._native_ids.add(threading.get_native_id())
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
        """End the idle threads, and wait until they have ended; but for busy ones only briefly.

        A thread that ends while the interpreter is finalized crashes the process (python-greenlet/greenlet #324).
        """
        self._pool.maxsize = 0
        Wakeup().wait_until(self._has_ended, STOP_TIMEOUT, poll_interval=0.001)

    def _has_ended(self) -> bool:
        return not any(Path(f"/proc/self/task/{native_id}").exists() for native_id in self._native_ids)

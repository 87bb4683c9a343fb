"""The way to a database: SQLite in one file, or PostgreSQL."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from persona_stream.errors import StartError

_BUSY = 5.0  # seconds that SQLite waits for another process that writes
_CONNECT = 3  # seconds


def address(database_url: str, folder: Path) -> URL:
    """Give the address of a database: ``sqlite:///`` alone is a file in ``folder``.

    Raises:
        StartError: it is none, or one of a kind that is not served.
    """
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        raise StartError("database_url is no address of a database: see docs/STORE.md") from None
    match url.get_backend_name():
        case "sqlite":
            file = Path(url.database) if url.database else folder / "persona_stream.sqlite"
            return URL.create("sqlite", database=str(file))
        case "postgresql":
            return url.set(drivername="postgresql+psycopg")
        case other:
            raise StartError(f"database_url must begin with sqlite:/// or postgresql://, not {other}")


def engine(url: URL, connections: int) -> Engine:
    """Give an engine with so many connections.

    Raises:
        StartError: the driver is not installed.
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

"""Empty databases of each supported kind, one for each test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine

from persona_stream.db.engine import database_url, ensure_schema, open_engine
from persona_stream.db.tables import run_texts, runs
from tests.db.factories import Row
from tests.postgres_server import PostgresServer


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """Open a database and create its tables."""
    engine = open_engine(database_url(url, Path()), 1)
    try:
        ensure_schema(engine)
        yield engine
    finally:
        engine.dispose()


def sqlite(folder: Path) -> str:
    """Return the URL of a new SQLite file."""
    return f"sqlite:///{folder / 'log.sqlite'}"


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL server."""
    server = PostgresServer()
    try:
        yield server
    finally:
        server.close()


def write(connection: Connection, rows: Sequence[tuple[Row, Row]]) -> None:
    """Insert rows of runs."""
    connection.execute(runs.insert(), [short for short, _ in rows])
    connection.execute(run_texts.insert(), [texts for _, texts in rows])

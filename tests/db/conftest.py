"""Fixtures: a database of each kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from tests.db import databases
from tests.postgres_server import PostgresServer, needs_postgres

KINDS = ["sqlite", pytest.param("postgresql", marks=needs_postgres)]


@pytest.fixture(scope="package")
def postgres() -> Iterator[PostgresServer]:
    """Start a PostgreSQL server for the tests of this folder; each test creates its own database in it."""
    with databases.postgres() as server:
        yield server


@pytest.fixture(scope="module", params=KINDS)
def connection(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """Open a connection to a log, in SQLite and in PostgreSQL, for the tests of one module."""
    if request.param == "sqlite":
        url = databases.sqlite(tmp_path_factory.mktemp("log"))
    else:
        url = request.getfixturevalue("postgres").make()
    with databases.opened(url) as engine, engine.connect() as connection:
        yield connection

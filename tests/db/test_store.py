"""The SQL store in SQLite and in PostgreSQL. Its tests need a process that gevent has patched; this one must not be."""

from __future__ import annotations

import pytest

from tests.patched_process import run_suites
from tests.postgres_server import needs_postgres


@pytest.mark.parametrize(
    ("kind", "suites"),
    [
        ("sqlite", ["sql_suite.py"]),
        pytest.param("postgresql", ["sql_suite.py", "outage_suite.py"], marks=needs_postgres),
    ],
)
def test_the_store(kind: str, suites: list[str]) -> None:
    """The suites pass for each kind of database."""
    run_suites(__file__, *suites, seconds=110, STORE=kind)

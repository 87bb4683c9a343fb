"""The SQL store in SQLite and in PostgreSQL. Its tests need a process that gevent has patched; this one must not be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres_server import needs_postgres

_FOLDER = Path(__file__).parent


@pytest.mark.parametrize(
    ("kind", "suites"),
    [
        ("sqlite", ["sql_suite.py"]),
        pytest.param("postgresql", ["sql_suite.py", "outage_suite.py"], marks=needs_postgres),
    ],
)
def test_the_store(kind: str, suites: list[str]) -> None:
    """The suites pass for each kind of database."""
    done = subprocess.run(
        [sys.executable, "-m", "gevent.monkey", "--module", "pytest", "-q", *(_FOLDER / suite for suite in suites)],
        cwd=_FOLDER.parents[1],
        env={**os.environ, "STORE": kind},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

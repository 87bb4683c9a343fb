"""Outages of a remote database; run by test_store.py in a process that gevent has patched, for PostgreSQL."""

from __future__ import annotations

import gevent
import pytest
from sqlalchemy import text

from persona_stream.db.tables import exchanges, runs
from persona_stream.errors import Unavailable
from tests.db.factories import BEGAN, query
from tests.db.sql_suite import Database, database, enqueue_run, postgres
from tests.polling import wait_for

__all__ = ["database", "postgres"]  # the fixtures


def test_a_store_starts_during_an_outage(database: Database) -> None:
    """The store opens, reports the outage, and writes when the database is available."""
    assert database.postgres is not None
    database.postgres.kill()
    store = database.store()
    enqueue_run(store, query())
    assert store.unavailable_services() == ("database",)
    with pytest.raises(Unavailable):
        store.query(lambda connection: connection.scalar(text("SELECT 1")))
    database.postgres.start()
    store.flush(20.0)
    assert len(database.rows(runs)) == 1


def test_an_outage_loses_nothing(database: Database) -> None:
    """Closed connections are replaced."""
    assert database.postgres is not None
    store = database.store()
    enqueue_run(store, query("Before"))
    store.flush(10.0)
    database.postgres.kill()
    enqueue_run(store, query("While"), at=BEGAN + 1)
    wait_for(store.unavailable_services, sleep=gevent.sleep)
    database.postgres.start()
    store.flush(20.0)
    enqueue_run(store, query("After"), at=BEGAN + 2)
    store.flush(10.0)
    database.engine.dispose()
    assert [row.question for row in database.rows(exchanges)] == ["Before", "While", "After"]
    assert [row.readers for row in database.rows(runs)] == [1, 1, 1]

"""A database on another machine can be away: run in a process that gevent has patched, for PostgreSQL."""

from __future__ import annotations

import gevent
import pytest
from sqlalchemy import text

from persona_stream.db.tables import exchanges, runs
from persona_stream.errors import Unavailable
from tests.db.factories import BEGAN, query
from tests.db.sql_suite import World, keep_run, postgres, world
from tests.polling import wait_for

__all__ = ["postgres", "world"]  # the fixtures


def test_a_database_that_is_away_at_the_start_is_waited_for(world: World) -> None:
    """The store opens, says what is missing, and writes when it can."""
    assert world.postgres is not None
    world.postgres.kill()
    store = world.store()
    keep_run(store, query())
    assert store.unavailable_services() == ("database",)
    with pytest.raises(Unavailable):
        store.query(lambda connection: connection.scalar(text("SELECT 1")))
    world.postgres.start()
    store.flush(20.0)
    assert len(world.rows(runs)) == 1


def test_a_database_that_goes_away_in_between_loses_nothing(world: World) -> None:
    """Connections that are cut are made again."""
    assert world.postgres is not None
    store = world.store()
    keep_run(store, query("Before"))
    store.flush(10.0)
    world.postgres.kill()
    keep_run(store, query("While"), at=BEGAN + 1)
    wait_for(store.unavailable_services, sleep=gevent.sleep)
    world.postgres.start()
    store.flush(20.0)
    keep_run(store, query("After"), at=BEGAN + 2)
    store.flush(10.0)
    world.engine.dispose()
    assert [row.question for row in world.rows(exchanges)] == ["Before", "While", "After"]
    assert [row.readers for row in world.rows(runs)] == [1, 1, 1]

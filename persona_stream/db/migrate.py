"""The tables' version: an empty database gets them, and an old one is brought up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, inspect, text

from persona_stream.db.tables import metadata
from persona_stream.errors import ConfigurationError

LATEST_REVISION = "0001"
"""The revision that the tables are of; ``migrations/versions`` has what leads to it."""

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 5_150_150  # of PostgreSQL's advisory locks, the one that is ours


def ensure_schema(engine: Engine) -> None:
    """Make the tables where there are none, and bring those of an SQLite file up to date.

    Raises:
        ConfigurationError: they are of another version; the text says what to do.
    """
    with engine.begin() as connection:
        _alone(connection)
        version = _version(connection)
        if version is None:
            metadata.create_all(connection)
            connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
            connection.execute(text("INSERT INTO alembic_version VALUES (:version)"), {"version": LATEST_REVISION})
        elif version > LATEST_REVISION:
            raise ConfigurationError(
                f"The database is of a newer release (its tables are {version}, ours {LATEST_REVISION}): upgrade"
            )
        elif version < LATEST_REVISION:
            if connection.dialect.name != "sqlite":
                raise ConfigurationError(
                    f"The tables are of an older release ({version}): run `persona-stream db upgrade`"
                )
            migrate(connection, "head")


def migrate(connection: Connection, revision: str) -> None:
    """Bring the tables to a revision: ``head``, ``base``, or one by its name."""
    # Only whoever migrates pays for the import.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    now = _version(connection)
    goes_down = revision == "base" or (revision != "head" and now is not None and revision < now)
    (command.downgrade if goes_down else command.upgrade)(config, revision)


def version_of(engine: Engine) -> str | None:
    """Give the revision of the tables, or ``None`` where there are none."""
    with engine.connect() as connection:
        return _version(connection)


def _version(connection: Connection) -> str | None:
    if "alembic_version" not in inspect(connection).get_table_names():
        return None
    found: Any = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def _alone(connection: Connection) -> None:
    """Let other processes that start at the same moment wait."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})

"""Schema version of the database: an empty one gets the tables, an older one is migrated."""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, inspect, text

from persona_stream.db.tables import metadata
from persona_stream.errors import ConfigurationError

LATEST_REVISION = "0001"
"""Revision of ``tables.py``; ``migrations/versions`` has the steps that lead to it."""

_MIGRATIONS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 5_150_150  # the key of PostgreSQL's advisory lock around schema changes


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
            from alembic.migration import MigrationContext
            from alembic.script import ScriptDirectory

            metadata.create_all(connection)
            MigrationContext.configure(connection).stamp(ScriptDirectory(str(_MIGRATIONS)), LATEST_REVISION)
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
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    current = _current_revision(connection)
    is_downgrade = revision == "base" or (revision != "head" and current is not None and revision < current)
    (command.downgrade if is_downgrade else command.upgrade)(config, revision)


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

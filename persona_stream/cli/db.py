"""``persona-stream db``: the schema of the database; and access to the database for other commands."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine, exc

from persona_stream import state_dir
from persona_stream.cli.settings import load_settings_from, settings_subset
from persona_stream.db import engine
from persona_stream.errors import ConfigurationError
from persona_stream.settings.schema import Settings

SETTINGS = ("database_url", "state_dir")


@contextmanager
def open_database(settings: Settings, *, any_version: bool = False) -> Iterator[Engine]:
    """Open the configured database until the end of the block.

    Args:
        settings: the settings of the command.
        any_version: whether a database with the tables of another release, or without tables, is accepted.

    Raises:
        ConfigurationError: the database does not exist or cannot be used; the text says what to do.
    """
    if settings.database_url is None:
        raise ConfigurationError("database_url is off: there is no request log")
    url = engine.database_url(settings.database_url, state_dir.state_dir(settings.state_dir, os.environ))
    if url.get_backend_name() == "sqlite" and not any_version and not Path(url.database or "").exists():
        raise ConfigurationError(f"There is no database at {url.database}: start a server with these settings first")
    database = engine.open_engine(url, 1)
    try:
        if not any_version and (version := engine.version_of(database)) != engine.LATEST_REVISION:
            raise ConfigurationError(
                f"The database has the tables of another release ({version}): run `persona-stream db upgrade`"
            )
        yield database
    except exc.DBAPIError as error:
        raise ConfigurationError(f"The database is unavailable: {engine.error_summary(error)}") from None
    finally:
        database.dispose()


@click.group()
def db() -> None:
    """Print the schema version of the database, and migrate it."""


@db.command()
@settings_subset(*SETTINGS)
def version(**options: Any) -> None:
    """Print the revision of the tables, and the newest one of this release."""
    with open_database(load_settings_from(options).settings, any_version=True) as database:
        click.echo(f"{engine.version_of(database) or 'none'} (newest: {engine.LATEST_REVISION})")


@db.command()
@click.argument("revision", default="head")
@settings_subset(*SETTINGS)
def upgrade(revision: str, **options: Any) -> None:
    """Upgrade the tables to REVISION (default: the newest)."""
    _migrate(revision, options)


@db.command()
@click.argument("revision")
@settings_subset(*SETTINGS)
@click.confirmation_option(prompt="This drops the tables of newer revisions with their data. Continue?")
def downgrade(revision: str, **options: Any) -> None:
    """Downgrade the tables to REVISION; `base` removes them."""
    _migrate(revision, options)


def _migrate(revision: str, options: dict[str, Any]) -> None:
    from alembic.util.exc import CommandError

    with open_database(load_settings_from(options).settings, any_version=True) as database:
        before = engine.version_of(database)
        try:
            with database.begin() as connection:
                engine.migrate(connection, revision)
        except CommandError as error:
            raise click.ClickException(str(error)) from None
        except exc.DBAPIError as error:
            raise click.ClickException(f"The migration failed, and nothing has changed: {error.orig}") from None
        click.echo(f"{before or 'none'} -> {engine.version_of(database) or 'none'}")

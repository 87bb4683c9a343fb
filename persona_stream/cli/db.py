"""Command ``persona-stream db``: the schema of the database; and access to the database for other commands."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from persona_stream.cli.settings import load_settings_from, settings_subset
from persona_stream.db.engine import LATEST_REVISION, database_url, error_summary, migrate, open_engine, version_of
from persona_stream.errors import ConfigurationError
from persona_stream.state_dir import state_dir

SETTINGS = ("database_url", "state_dir")


@contextmanager
def open_database(options: Mapping[str, Any], *, any_version: bool = False) -> Iterator[Engine]:
    """Open the configured database until the end of the block.

    Args:
        options: the options of the command.
        any_version: whether a database with the tables of another release, or without tables, is accepted.

    Raises:
        ConfigurationError: the database does not exist or cannot be used; the text says what to do.
    """
    settings = load_settings_from(options).settings
    if settings.database_url is None:
        raise ConfigurationError("database_url is off: there is no request log")
    url = database_url(settings.database_url, state_dir(settings.state_dir, os.environ))
    if url.get_backend_name() == "sqlite" and not any_version and not Path(url.database or "").exists():
        raise ConfigurationError(f"There is no database at {url.database}: start a server with these settings first")
    engine = open_engine(url, 1)
    try:
        if not any_version and (version := version_of(engine)) != LATEST_REVISION:
            raise ConfigurationError(
                f"The database has the tables of another release ({version}): run `persona-stream db upgrade`"
            )
        yield engine
    except DBAPIError as error:
        raise ConfigurationError(f"The database is unavailable: {error_summary(error)}") from None
    finally:
        engine.dispose()


@click.group()
def db() -> None:
    """Print the schema version of the database, and migrate it."""


@db.command()
@settings_subset(*SETTINGS)
def version(**options: Any) -> None:
    """Print the revision of the tables, and the newest one of this release."""
    with open_database(options, any_version=True) as engine:
        click.echo(f"{version_of(engine) or 'none'} (newest: {LATEST_REVISION})")


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

    with open_database(options, any_version=True) as engine:
        before = version_of(engine)
        try:
            with engine.begin() as connection:
                migrate(connection, revision)
        except CommandError as error:
            raise click.ClickException(str(error)) from None
        except DBAPIError as error:
            raise click.ClickException(f"The migration failed, and nothing has changed: {error.orig}") from None
        click.echo(f"{before or 'none'} -> {version_of(engine) or 'none'}")

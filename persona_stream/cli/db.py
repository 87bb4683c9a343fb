"""``persona-stream db``: the tables of the database.

The database that the settings name, for commands that look into it beside a server.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from persona_stream.cli.options import load_settings_from, settings_subset
from persona_stream.db import engine
from persona_stream.db.migrate import LATEST_REVISION, migrate, version_of
from persona_stream.errors import ConfigurationError
from persona_stream.state_dir import state_dir

SETTINGS = ("database_url", "state_dir")


@contextmanager
def open_database(options: Mapping[str, Any], *, any_version: bool = False) -> Iterator[Engine]:
    """Give the database until the end of the block.

    Args:
        options: of the command.
        any_version: also one whose tables are of another release, or that has none.

    Raises:
        ConfigurationError: there is none, or it does not fit; the text says what to do.
    """
    settings = load_settings_from(options)
    if settings.database_url is None:
        raise ConfigurationError("database_url is off: there is no log to look into")
    url = engine.database_url(settings.database_url, state_dir(settings.state_dir, os.environ))
    if url.get_backend_name() == "sqlite" and not any_version and not Path(url.database or "").exists():
        raise ConfigurationError(f"There is no database at {url.database} yet: a server with these settings makes it")
    made = engine.open_engine(url, 1)
    try:
        if not any_version and (version := version_of(made)) != LATEST_REVISION:
            raise ConfigurationError(f"The tables are of another release ({version}): run `persona-stream db upgrade`")
        yield made
    except DBAPIError as error:
        raise ConfigurationError(f"The database does not answer: {str(error.orig).partition(chr(10))[0]}") from None
    finally:
        made.dispose()


@click.group()
def db() -> None:
    """Look at the tables of the database, and bring them to another release."""


@db.command()
@settings_subset(*SETTINGS)
def version(**options: Any) -> None:
    """Print the revision of the tables, and the newest that this release knows."""
    with open_database(options, any_version=True) as engine:
        click.echo(f"{version_of(engine) or 'none'} (newest: {LATEST_REVISION})")


@db.command()
@click.argument("revision", default="head")
@settings_subset(*SETTINGS)
def upgrade(revision: str, **options: Any) -> None:
    """Bring the tables up to REVISION, or to the newest."""
    _migrate(revision, options)


@db.command()
@click.argument("revision")
@settings_subset(*SETTINGS)
@click.confirmation_option(prompt="Tables of newer releases are dropped, with what is in them. Go on?")
def downgrade(revision: str, **options: Any) -> None:
    """Bring the tables down to REVISION, or with `base` remove them."""
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
            raise click.ClickException(f"The tables stay as they were: {error.orig}") from None
        click.echo(f"{before or 'none'} -> {version_of(engine) or 'none'}")

"""``persona-stream db``: the tables of the database."""

from __future__ import annotations

from typing import Any

import click
from sqlalchemy.exc import DBAPIError

from persona_stream.cli.database import SETTINGS, opened
from persona_stream.cli.options import some_settings
from persona_stream.db import migrate as schema


@click.group()
def db() -> None:
    """Look at the tables of the database, and bring them to another release."""


@db.command()
@some_settings(*SETTINGS)
def version(**options: Any) -> None:
    """Print the revision of the tables, and the newest that this release knows."""
    with opened(options, any_version=True) as engine:
        click.echo(f"{schema.version_of(engine) or 'none'} (newest: {schema.NEWEST})")


@db.command()
@click.argument("revision", default="head")
@some_settings(*SETTINGS)
def upgrade(revision: str, **options: Any) -> None:
    """Bring the tables up to REVISION, or to the newest."""
    _migrate(revision, options)


@db.command()
@click.argument("revision")
@some_settings(*SETTINGS)
@click.confirmation_option(prompt="Tables of newer releases are dropped, with what is in them. Go on?")
def downgrade(revision: str, **options: Any) -> None:
    """Bring the tables down to REVISION, or with `base` remove them."""
    _migrate(revision, options)


def _migrate(revision: str, options: dict[str, Any]) -> None:
    from alembic.util.exc import CommandError

    with opened(options, any_version=True) as engine:
        before = schema.version_of(engine)
        try:
            with engine.begin() as connection:
                schema.migrate(connection, revision)
        except CommandError as error:
            raise click.ClickException(str(error)) from None
        except DBAPIError as error:
            raise click.ClickException(f"The tables stay as they were: {error.orig}") from None
        click.echo(f"{before or 'none'} -> {schema.version_of(engine) or 'none'}")

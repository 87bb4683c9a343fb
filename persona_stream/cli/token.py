"""``persona-stream token``: print a token, and nothing else."""

from __future__ import annotations

import os
from typing import Any

import click

from persona_stream.auth.jwt import issue_token
from persona_stream.cli.options import duration, load_settings_from, settings_subset
from persona_stream.settings.types import Seconds
from persona_stream.state_dir import get_signing_secret


@click.command()
@click.option("--user", required=True, help="Whose token it is: its sub claim.")
@click.option(
    "--expires",
    callback=duration(Seconds(above_zero=True)),
    default="1d",
    metavar="DURATION",
    show_default=True,
    help="How long it is valid.",
)
@click.option("--scope", multiple=True, help="What it allows: chat, admin. May be repeated. [chat]")
@settings_subset(
    "jwt_secret", "jwt_public_key", "jwks_url", "jwt_algorithms", "jwt_audience", "jwt_issuer", "state_dir"
)
def token(user: str, expires: float, scope: tuple[str, ...], **options: Any) -> None:
    """Print a token for a user, made with the secret that serve has under the same settings."""
    settings = load_settings_from(options)
    secret = "" if settings.jwt_public_key or settings.jwks_url else get_signing_secret(settings, os.environ)[0]
    try:
        text = issue_token(secret, user, expires, scope=" ".join(scope), settings=settings)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--user'") from None
    click.echo(text)

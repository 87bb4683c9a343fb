"""``persona-stream token``: print a token and nothing else."""

import os
from typing import Any

import click

from persona_stream.auth.jwt import issue_token
from persona_stream.cli.settings import ValueType, load_settings_from, settings_subset
from persona_stream.settings.types import PositiveDuration
from persona_stream.state_dir import get_signing_secret


@click.command()
@click.option("--user", required=True, help="User of the token (its sub claim).")
@click.option(
    "--expires", type=ValueType(PositiveDuration), default="1d", show_default=True, help="Lifetime of the token."
)
@click.option("--scope", multiple=True, help="Scope of the token: chat or admin. Can be repeated. [default: chat]")
@settings_subset(
    "jwt_secret", "jwt_public_key", "jwks_url", "jwt_algorithms", "jwt_audience", "jwt_issuer", "state_dir"
)
def token(user: str, expires: float, scope: tuple[str, ...], **options: Any) -> None:
    """Print a token for a user, signed with the secret that serve uses with the same settings."""
    settings = load_settings_from(options).settings
    has_foreign_keys = settings.jwt_public_key or settings.jwks_url
    secret = "" if has_foreign_keys else get_signing_secret(settings, os.environ)[0]
    try:
        text = issue_token(secret, user, expires, scope=" ".join(scope), settings=settings)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--user'") from None
    click.echo(text)

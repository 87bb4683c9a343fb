"""``persona-stream key``: create, list and revoke API keys."""

from typing import Any

import click

from persona_stream.auth.api_keys import KeyFile, create_api_key
from persona_stream.cli.settings import ValueType, align_columns, load_settings_from, settings_subset
from persona_stream.core.clock import system_clock
from persona_stream.errors import ConfigurationError
from persona_stream.settings.types import PositiveDuration


@click.group()
def key() -> None:
    """Create, list and revoke API keys, for callers that cannot create a JSON Web Token.

    Servers with the same api_keys read the file again when it changes.
    """


@key.command()
@click.option("--user", required=True, help="User of the key, who owns the runs started with it.")
@click.option("--scope", multiple=True, help="Scope of the key: chat or admin. Can be repeated. [default: chat]")
@click.option("--expires", type=ValueType(PositiveDuration), help="Lifetime of the key, like 90d. [default: unlimited]")
@settings_subset("api_keys")
def create(user: str, scope: tuple[str, ...], expires: float | None, **options: Any) -> None:
    """Create a key and print it. It is shown only once: the file has its hash."""
    file = _file(options)
    try:
        secret, entry = create_api_key(user, scope or ("chat",), expires, system_clock()())
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--user'") from None
    file.add(entry)
    click.echo(f"Created the key {entry.id} of {user} in {file.path}", err=True)
    click.echo(secret)


@key.command("list")
@settings_subset("api_keys")
def list_keys(**options: Any) -> None:
    """Print the id, user, scopes and times of each key."""
    now = system_clock()()
    rows = [("ID", "USER", "SCOPES", "CREATED", "EXPIRES")]
    for each in _file(options).load():
        expires = "never" if each.expires is None else f"{each.expires:%Y-%m-%d %H:%M} UTC"
        state = " (expired)" if each.is_expired(now) else ""
        rows.append((each.id, each.user, " ".join(each.scopes), f"{each.created:%Y-%m-%d}", expires + state))
    click.echo(align_columns(rows))


@key.command()
@click.argument("key_id", metavar="ID")
@settings_subset("api_keys")
def revoke(key_id: str, **options: Any) -> None:
    """Remove a key from the file. Servers reject it from their next request on."""
    file = _file(options)
    try:
        removed = file.remove(key_id)
    except KeyError:
        raise click.UsageError(
            f"There is no key {key_id} in {file.path}: `persona-stream key list` shows them"
        ) from None
    click.echo(f"Revoked the key {removed.id} of {removed.user}")


def _file(options: dict[str, Any]) -> KeyFile:
    path = load_settings_from(options).settings.api_keys
    if path is None:
        raise ConfigurationError("there is no file of API keys: name one with --api-keys or in the setting api_keys")
    return KeyFile(path)

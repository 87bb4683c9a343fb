"""The flags that come from the table of settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from persona_stream.settings.loader import Resolved, load_settings, resolve
from persona_stream.settings.schema import SETTINGS, Settings
from persona_stream.settings.types import Seconds, Setting

Command = TypeVar("Command", bound=Callable[..., Any])


def settings_options(command: Command) -> Command:
    """Add a flag for every setting, and ``--config``, to a command; ``loaded`` makes settings of what it is given."""
    return settings_subset(*(setting.name for setting in SETTINGS))(command)


def settings_subset(*names: str) -> Callable[[Command], Command]:
    """Add the flags of these settings alone, and ``--config``."""

    def add(command: Command) -> Command:
        for setting in reversed([setting for setting in SETTINGS if setting.name in names]):
            command = click.option(setting.flag, setting.name, metavar=_metavar(setting), help=_help(setting))(command)
        return click.option(
            "--config",
            type=click.Path(path_type=Path, dir_okay=False),
            help="A TOML file of settings; PERSONA_STREAM_CONFIG names one too.",
        )(command)

    return add


def load_settings_from(options: Mapping[str, Any]) -> Settings:
    """Make the settings of a command's options, the environment and the file; warn on stderr.

    Raises:
        SettingsError: one of them is wrong.
    """
    settings, warnings = load_settings(_flags(options), os.environ, options.get("config"))
    _warn(warnings)
    return settings


def resolve_settings(options: Mapping[str, Any]) -> dict[str, Resolved]:
    """Give what stands somewhere, with its place, by setting name; warn on stderr.

    Raises:
        SettingsError: one of them is wrong.
    """
    found, warnings = resolve(_flags(options), os.environ, options.get("config"))
    _warn(warnings)
    return found


def duration(kind: Seconds) -> Callable[[click.Context, click.Parameter, str | None], float | None]:
    """Give the callback of an option that takes a duration of this kind, or may be left out."""

    def take(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
        if value is None:
            return None
        try:
            return kind.take(value)
        except ValueError:
            raise click.BadParameter(f'it must be {kind.expects}, not "{value}"') from None

    return take


def _flags(options: Mapping[str, Any]) -> dict[str, str | None]:
    return {setting.name: options.get(setting.name) for setting in SETTINGS}


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        click.echo(f"persona-stream: {warning}", err=True)


def _metavar(setting: Setting) -> str:
    return setting.name.rsplit("_", 1)[-1].upper()


def _help(setting: Setting) -> str:
    meaning = setting.about.text.replace("`", "")
    return f"{meaning[0].upper()}{meaning[1:]}. [{setting.show(setting.default).replace('`', '')}]"

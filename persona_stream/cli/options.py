"""Command-line options derived from the settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from persona_stream.settings.loader import LoadedSettings, load_settings
from persona_stream.settings.schema import BY_NAME, SETTINGS, WITHDRAWN, Setting
from persona_stream.settings.types import convert, form_of

Command = TypeVar("Command", bound=Callable[..., Any])


class ValueType(click.ParamType):  # type: ignore[type-arg]  # generic only in recent releases of click
    """Type of an option whose value is written like that of a setting.

    Args:
        annotation: one of the types in ``persona_stream.settings.types``.
    """

    def __init__(self, annotation: Any) -> None:
        self._annotation = annotation
        self.name = form_of(annotation).metavar

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value in its type, or fail with the allowed values."""
        try:
            return convert(value, self._annotation)
        except ValueError as error:
            self.fail(f'it must be {error}, not "{value}"', param, ctx)


def settings_options(command: Command) -> Command:
    """Add ``--config`` and an option for every setting to a command."""
    for name in WITHDRAWN:
        command = click.option("--" + name.replace("_", "-"), name, hidden=True)(command)
    return settings_subset(*(setting.name for setting in SETTINGS))(command)


def settings_subset(*names: str) -> Callable[[Command], Command]:
    """Add ``--config`` and options for some settings to a command."""

    def add(command: Command) -> Command:
        for setting in reversed([setting for setting in SETTINGS if setting.name in names]):
            command = _option(setting)(command)
        return click.option(
            "--config",
            type=click.Path(path_type=Path, dir_okay=False),
            help="TOML file with settings. [env: PERSONA_STREAM_CONFIG]",
        )(command)

    return add


def load_settings_from(options: Mapping[str, Any]) -> LoadedSettings:
    """Load the settings from a command's options, the environment and the file; print warnings to stderr.

    Raises:
        SettingsError: a value is not allowed.
    """
    flags = {name: options.get(name) for name in (*BY_NAME, *WITHDRAWN)}
    loaded = load_settings(flags, os.environ, options.get("config"))
    for warning in loaded.warnings:
        click.echo(f"persona-stream: {warning}", err=True)
    return loaded


def _option(setting: Setting) -> Callable[[Command], Command]:
    description = f"{setting.description}. [default: {setting.format(setting.default)}]".replace("`", "")
    flag = "--" + setting.name.replace("_", "-")
    return click.option(flag, setting.name, metavar=form_of(setting.annotation).metavar, help=description)

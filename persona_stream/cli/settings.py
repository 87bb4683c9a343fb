"""Command-line options derived from the settings, and ``persona-stream settings``, which prints them."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from persona_stream.settings import loader, schema, types

Command = TypeVar("Command", bound=Callable[..., Any])
_OWN = "Options"
_COMMON = (_OWN, "Server", "Backend")
_IS_WHOLE = "persona_stream.help_all"


class ValueType(click.ParamType):  # type: ignore[type-arg]  # generic only in recent releases of click
    """Type of an option whose value is written like that of a setting, with a type of ``settings.types``."""

    def __init__(self, annotation: Any) -> None:
        self._annotation = annotation
        self.name = types.form_of(annotation).metavar

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value in its type, or fail with the allowed values."""
        try:
            return types.convert(value, self._annotation)
        except ValueError as error:
            self.fail(f'it must be {error}, not "{value}"', param, ctx)


class SettingsCommand(click.Command):
    """Command with an option for every setting: ``--help`` has the common ones, ``--help-all`` those of every group."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["--help-all"], is_flag=True, is_eager=True, expose_value=False, callback=_print_all,
                help=f"Show all {len(schema.SETTINGS)} settings and exit.",
            )
        )  # fmt: skip

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in sections, those of the command itself first."""
        sections: dict[str, list[tuple[str, str]]] = {heading: [] for heading in (_OWN, *schema.GROUPS.values())}
        groups = _groups()
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                sections[groups.get(param.name or "", _OWN)].append(record)
        is_whole = ctx.meta.get(_IS_WHOLE, False)
        for heading, records in sections.items():
            if records and (is_whole or heading in _COMMON):
                with formatter.section(heading):
                    formatter.write_dl(records)


def _groups() -> Mapping[str, str]:
    """Return the heading of each setting by its name."""
    groups = {}
    heading = ""
    for setting in schema.SETTINGS:
        heading = schema.GROUPS.get(setting.name, heading)
        groups[setting.name] = heading
    return groups


def _print_all(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[_IS_WHOLE] = True
        click.echo(ctx.get_help())
        ctx.exit()


def settings_options(command: Command) -> Command:
    """Add ``--config`` and an option for every setting to a command."""
    for name in schema.WITHDRAWN:
        command = click.option("--" + name.replace("_", "-"), name, hidden=True)(command)
    return settings_subset(*(setting.name for setting in schema.SETTINGS))(command)


def settings_subset(*names: str) -> Callable[[Command], Command]:
    """Add ``--config`` and options for some settings to a command."""

    def add(command: Command) -> Command:
        for setting in reversed([setting for setting in schema.SETTINGS if setting.name in names]):
            command = _option(setting)(command)
        file_type = click.Path(path_type=Path, dir_okay=False)
        return click.option("--config", type=file_type, help="TOML file with settings. [env: PERSONA_STREAM_CONFIG]")(
            command
        )

    return add


def load_settings_from(options: Mapping[str, Any]) -> loader.LoadedSettings:
    """Load the settings from a command's options, the environment and the file; print warnings to stderr.

    Raises:
        SettingsError: a value is not allowed.
    """
    flags = {name: options.get(name) for name in (*schema.BY_NAME, *schema.WITHDRAWN)}
    loaded = loader.load_settings(flags, os.environ, options.get("config"))
    for warning in loaded.warnings:
        click.echo(f"persona-stream: {warning}", err=True)
    return loaded


def _option(setting: schema.Setting) -> Callable[[Command], Command]:
    description = f"{setting.description}. [default: {setting.format(setting.default)}]".replace("`", "")
    flag = "--" + setting.name.replace("_", "-")
    return click.option(flag, setting.name, metavar=types.form_of(setting.annotation).metavar, help=description)


@click.command(cls=SettingsCommand)
@click.option("--markdown", is_flag=True, help="Print defaults and descriptions as a Markdown table.")
@settings_options
def settings(markdown: bool, **options: Any) -> None:
    """Print every setting with its value, source and description.

    Accepts the same options, environment and file as serve. Secrets are not shown.
    """
    click.echo(_markdown() if markdown else _in_effect(options))


def _markdown() -> str:
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for setting in schema.SETTINGS:
        default = setting.format(setting.default)
        cell = default if default in (setting.unset, "none") else f"`{default}`"
        rows.append(f"| `{setting.name}` | {cell} | {setting.description} |")
    return "\n".join(rows)


def _in_effect(options: dict[str, Any]) -> str:
    loaded = load_settings_from(options)
    rows = []
    for setting in schema.SETTINGS:
        source = loaded.sources.get(setting.name, "default")
        value = setting.format(getattr(loaded.settings, setting.name)).replace("`", "")
        rows.append((setting.name, value, source, setting.description.replace("`", "")))
    return align_columns(rows)


def align_columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as lines with aligned columns; the last column has any width."""
    widths = [max(map(len, column)) for column in zip(*(row[:-1] for row in rows), strict=True)]
    return "\n".join("  ".join([*map(str.ljust, row, widths), row[-1]]) for row in rows)

"""``persona-stream settings``: the settings in effect, or their table for the README."""

from __future__ import annotations

from typing import Any

import click

from persona_stream.cli.options import load_settings_from, settings_options
from persona_stream.settings.schema import SETTINGS


@click.command()
@click.option("--markdown", is_flag=True, help="Print defaults and descriptions as a Markdown table.")
@settings_options
def settings(markdown: bool, **options: Any) -> None:
    """Print every setting with its value, source and description.

    Accepts the same options, environment and file as serve. Secrets are not shown.
    """
    click.echo(_markdown() if markdown else _in_effect(options))


def _markdown() -> str:
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for setting in SETTINGS:
        default = setting.format(setting.default)
        cell = default if default in (setting.unset, "none") else f"`{default}`"
        rows.append(f"| `{setting.name}` | {cell} | {setting.description} |")
    return "\n".join(rows)


def _in_effect(options: dict[str, Any]) -> str:
    loaded = load_settings_from(options)
    rows = []
    for setting in SETTINGS:
        source = loaded.sources.get(setting.name, "default")
        value = setting.format(getattr(loaded.settings, setting.name)).replace("`", "")
        rows.append((setting.name, value, source, setting.description.replace("`", "")))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join("  ".join([*map(str.ljust, row[:3], widths), row[3]]) for row in rows)

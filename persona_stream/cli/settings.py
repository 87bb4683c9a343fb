"""``persona-stream settings``: the table, as it is in effect or for the README."""

from __future__ import annotations

from typing import Any

import click

from persona_stream.cli.options import resolve_settings, settings_options
from persona_stream.settings.schema import SETTINGS, Settings


@click.command()
@click.option("--markdown", is_flag=True, help="Print the table of the README: defaults and meanings.")
@settings_options
def settings(markdown: bool, **options: Any) -> None:
    """Print every setting: what it is now, where that comes from, and what it means.

    Takes the same flags as serve, reads the same environment and file, and shows no secret.
    """
    click.echo(_markdown() if markdown else _in_effect(options))


def _markdown() -> str:
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for setting in SETTINGS:
        default = setting.show(setting.default)
        shown = default if default in (setting.about.default_text, "none") else f"`{default}`"
        rows.append(f"| `{setting.name}` | {shown} | {setting.about.text} |")
    return "\n".join(rows)


def _in_effect(options: dict[str, Any]) -> str:
    found = resolve_settings(options)
    values: dict[str, Any] = {name: one.value for name, one in found.items()}
    settings_now = Settings(**values)
    lines = []
    for setting in SETTINGS:
        source = found[setting.name].where if setting.name in found else "default"
        shown = setting.show(getattr(settings_now, setting.name)).replace("`", "")
        lines.append((setting.name, shown, source, setting.about.text.replace("`", "")))
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    return "\n".join(
        "  ".join([*(line[column].ljust(widths[column]) for column in range(3)), line[3]]) for line in lines
    )

"""Tables and values for a terminal or a pipe."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from persona_stream.client.sanitizer import sanitize_line
from persona_stream.db.models import Kind

NONE = "–"
COLUMN_GAP = 2  # spaces
_NUMBERS = frozenset({"count", "bytes", "seconds", "dollars"})


@dataclass(frozen=True, slots=True)
class TableColumn:
    """Column of a terminal table.

    Attributes:
        title: its heading.
        kind: the kind of its values; numbers are aligned to the right.
        priority: its rank where the terminal is too narrow: 1 is dropped last.
        min_width: how far its cells may be cut; 0 for not at all.
    """

    title: str
    kind: Kind = "text"
    priority: int = 1
    min_width: int = 0


def render_table(columns: Sequence[TableColumn], rows: Sequence[Sequence[str]], width: int) -> str:
    """Render a table with one line for each row; columns that do not fit into the width are left out."""
    # Imported here, so that --help and JSON output do not pay for it.
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[sanitize_line(cell) for cell in row] for row in rows]
    full = [max(map(cell_len, texts)) for texts in zip([column.title for column in columns], *cells, strict=True)]
    widths: dict[int, int] = {}
    room = width + COLUMN_GAP
    for index in sorted(range(len(columns)), key=lambda index: columns[index].priority):
        needed = min(full[index], columns[index].min_width or full[index])
        if needed + COLUMN_GAP <= room or not widths:
            widths[index] = needed
            room -= needed + COLUMN_GAP
    table = Table(box=None, pad_edge=False, padding=(0, COLUMN_GAP, 0, 0))
    for index in (shown := sorted(widths)):
        extra = min(full[index] - widths[index], max(room, 0))
        room -= extra
        table.add_column(
            Text(columns[index].title),
            justify="right" if columns[index].kind in _NUMBERS else "left",
            no_wrap=True,
            width=widths[index] + extra,
        )
    for row in cells:
        table.add_row(*(Text(row[index]) for index in shown))
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def format_value(kind: Kind, value: object) -> str:
    """Format a value of a log column."""
    match kind, value:
        case [_, None]:
            return NONE
        case ["moment", float(at)]:
            return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        case ["seconds", float(seconds) | int(seconds)]:
            return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
        case ["dollars", float(dollars) | int(dollars)]:
            return f"${dollars:.4f}"
        case _:
            return str(value)

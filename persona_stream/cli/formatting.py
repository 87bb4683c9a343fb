"""Tables for a terminal or a pipe: columns that line up, whatever is written in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from persona_stream.client.terminal import display_width, sanitize_line, truncate


def table(head: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> str:
    """Lay out a table; numbers to the right, and the last column no wider than there is room."""
    cells = [[*head], *([sanitize_line(cell) for cell in row] for row in rows)]
    widths = [max(display_width(row[index]) for row in cells) for index in range(len(head))]
    widths[-1] = max(10, min(widths[-1], room - sum(widths[:-1]) - 2 * (len(head) - 1)))
    return "\n".join(_line(row, widths, head) for row in cells)


def seconds(value: float | None) -> str:
    """Write a duration."""
    return "–" if value is None else f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def moment(at: float | None) -> str:
    """Write a moment in the time zone of whoever looks."""
    return "–" if at is None else datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def dollars(value: float | None) -> str:
    """Write a cost."""
    return "–" if value is None else f"${value:.4f}"


def _line(row: Sequence[str], widths: Sequence[int], head: Sequence[str]) -> str:
    parts = []
    for cell, width, name in zip(row, widths, head, strict=True):
        text = truncate(cell, width)
        padding = " " * (width - display_width(text))
        parts.append(padding + text if name in _NUMBERS else text + padding)
    return "  ".join(parts).rstrip()


_NUMBERS = frozenset({"first text", "total", "tokens", "cost", "runs", "mean", "p50", "p95", "p99"})

"""What can be done with a stream that people may be looking at."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Screen:
    """Write to a stream, and know what it understands.

    Attributes:
        is_terminal: whether somebody is looking.
        can_redraw: whether a line can be drawn again in its place.
        colour: whether colours are understood and wanted.
        is_utf8: whether the stream carries every character.
        unicode: whether, besides, the terminal has the signs to draw with.
    """

    stream: TextIO | None
    is_terminal: bool = False
    can_redraw: bool = False
    colour: bool = False
    is_utf8: bool = False
    unicode: bool = False
    columns: int | None = None

    def write(self, text: str) -> None:
        """Write at once. Text that the stream's encoding does not have is written as ``?``.

        Raises:
            OSError: nobody reads any more (``BrokenPipeError``), or the disk is full.
        """
        if self.stream is not None:
            encoding = self.stream.encoding or "utf-8"
            self.stream.write(text.encode(encoding, "replace").decode(encoding))
            self.stream.flush()

    def paint(self, text: str, style: str) -> str:
        """Give the text in a style (the numbers of an SGR sequence), if this screen shows any."""
        return f"\x1b[{style}m{text}\x1b[0m" if self.colour and text else text

    def width(self) -> int:
        """Give the columns of the terminal as it is now; people drag windows."""
        if self.columns is not None:
            return self.columns
        try:
            return os.get_terminal_size(self.stream.fileno()).columns or 80 if self.stream else 80
        except (OSError, ValueError):
            return 80


def look_at(stream: TextIO | None, environ: Mapping[str, str]) -> Screen:
    """Find out what a stream understands. ``None`` is one that was closed before the program began."""
    if stream is None:
        return Screen(None)
    term = environ.get("TERM", "")
    is_terminal = stream.isatty()
    can_redraw = is_terminal and term not in ("", "dumb")
    columns = environ.get("COLUMNS", "")
    is_utf8 = (stream.encoding or "").lower().replace("-", "") == "utf8"
    return Screen(
        stream,
        is_terminal=is_terminal,
        can_redraw=can_redraw,
        # https://no-color.org: present and not empty means no.
        colour=can_redraw and not environ.get("NO_COLOR"),
        is_utf8=is_utf8,
        # The console of Linux has few signs beyond Latin.
        unicode=is_utf8 and term != "linux",
        columns=int(columns) if columns.isascii() and columns.isdigit() and 0 < int(columns[:6]) < 100_000 else None,
    )

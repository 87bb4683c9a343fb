"""Output streams as rich consoles that write untrusted text without parsing it as markup."""

import io
from collections.abc import Mapping
from typing import TextIO

from rich import color, console, live
from rich.style import Style


class Terminal(console.Console):
    """Console of one output stream: a terminal, a pipe or a file.

    Args:
        stream: ``None`` if it was closed before the program started.
        environ: environment variables, of which ``TERM``, ``NO_COLOR`` and ``COLUMNS`` count.
    """

    def __init__(self, stream: TextIO | None, environ: Mapping[str, str]) -> None:
        self._stream = stream
        self._has_few_glyphs = environ.get("TERM") == "linux"
        known = {"TERM": environ.get("TERM") or "dumb"}
        columns = environ.get("COLUMNS", "")
        if columns.isascii() and columns.isdigit() and 0 < int(columns[:6]) < 100_000:
            known["COLUMNS"] = columns
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
        super().__init__(
            file=stream,
            force_terminal=stream is not None and stream.isatty(),
            no_color=bool(environ.get("NO_COLOR")),
            markup=False,
            highlight=False,
            _environ=known,
        )

    @property
    def is_utf8(self) -> bool:
        """Return whether the stream can carry every character."""
        return super().encoding.startswith("utf")

    @property
    def encoding(self) -> str:
        """Return the encoding to draw in: the console of Linux has few glyphs beyond Latin."""
        return "ascii" if self._has_few_glyphs else super().encoding

    def write(self, text: str, style: str = "") -> None:
        """Write text as it is, in a style of rich if the terminal has colours, and flush; or raise ``OSError``.

        ``print`` would expand tabs and wrap lines.
        """
        if self._stream is None:
            return
        if style and self.color_system and not self.no_color:
            text = Style.parse(style).render(text, color_system=color.ColorSystem.STANDARD)
        self._stream.write(text)
        self._stream.flush()

    def create_live(self) -> live.Live:
        """Create an area that is drawn again on request, and erased when it stops."""
        return live.Live(console=self, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)

    def show_cursor(self, show: bool = True) -> bool:
        """Leave the cursor alone: a killed process could not show it again."""
        return False

    def on_broken_pipe(self) -> None:
        """Raise the error; rich would exit."""
        raise

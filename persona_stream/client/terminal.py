"""Output streams as rich consoles, and sanitising of untrusted text.

Invariants:
    Sanitised text has no control characters but newline and tab, and none that reorder text; everything else is
    unchanged. A replaced character stays visible: ESC as ``␛``, CSI as ``<U+009B>``.
    Untrusted text is never parsed as rich's markup.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import TextIO

from rich.cells import cell_len, set_cell_size
from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style


class Terminal(Console):
    """Console of one output stream: a terminal, a pipe or a file.

    Args:
        stream: ``None`` if it was closed before the program started.
        environ: environment variables, of which ``TERM``, ``NO_COLOR`` and ``COLUMNS`` count.

    Attributes:
        is_interactive: whether a line can be redrawn in place.
    """

    def __init__(self, stream: TextIO | None, environ: Mapping[str, str]) -> None:
        self._stream = stream
        self._has_few_glyphs = environ.get("TERM") == "linux"
        known = {"TERM": environ.get("TERM") or "dumb", "NO_COLOR": environ.get("NO_COLOR", "")}
        columns = environ.get("COLUMNS", "")
        if columns.isascii() and columns.isdigit() and 0 < int(columns[:6]) < 100_000:
            known["COLUMNS"] = columns
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
        is_terminal = stream is not None and stream.isatty()
        super().__init__(file=stream, force_terminal=is_terminal, markup=False, highlight=False, _environ=known)

    @property
    def is_utf8(self) -> bool:
        """Return whether the stream can carry every character."""
        return super().encoding.startswith("utf")

    @property
    def encoding(self) -> str:
        """Return the encoding to draw in: the console of Linux has few glyphs beyond Latin."""
        return "ascii" if self._has_few_glyphs else super().encoding

    def write(self, text: str, style: str = "") -> None:
        """Write text as it is, in a style of rich if the terminal has colours, and flush.

        ``print`` would expand tabs and wrap lines.

        Raises:
            OSError: the reader is gone (``BrokenPipeError``), or the disk is full.
        """
        if self._stream is None:
            return
        if style and self.color_system and not self.no_color:
            text = Style.parse(style).render(text, color_system=ColorSystem.STANDARD)
        self._stream.write(text)
        self._stream.flush()

    def show_cursor(self, show: bool = True) -> bool:
        """Leave the cursor alone: a killed process could not show it again."""
        return False

    def on_broken_pipe(self) -> None:
        """Raise the error; rich would exit."""
        raise


def display_width(text: str) -> int:
    """Return the columns that a line takes on a terminal."""
    return cell_len(text)


def truncate(text: str, columns: int) -> str:
    """Return the text cut to so many columns, with ``...`` at the end if it was longer."""
    if cell_len(text) <= columns:
        return text
    return set_cell_size(text, columns - 3).rstrip() + "..." if columns > 3 else ""


# C0 without \t and \n, DEL, C1 (obeyed in UTF-8 too), the embeddings, overrides and isolates of the bidirectional
# algorithm (CVE-2021-42574), and lone surrogates. Joiners and variation selectors of emoji, and the direction marks of
# Arabic and Hebrew, pass.
_C0 = "\x00-\x08\x0b-\x1f\x7f"
_C1_BIDI_SURROGATES = "\x80-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_DANGEROUS = re.compile(f"\r\n|[{_C0}{_C1_BIDI_SURROGATES}]")
_DANGEROUS_IN_JSON = re.compile(f"[\x7f{_C1_BIDI_SURROGATES}\u2028\u2029]")
_WHITESPACE = re.compile(r"\s+")


def sanitize(text: str) -> str:
    """Return the text with control and reordering characters made visible."""
    return _DANGEROUS.sub(_make_visible, text)


def sanitize_line(text: str) -> str:
    """Return the sanitised text on one line."""
    return sanitize(_WHITESPACE.sub(" ", text)).strip()


def sanitize_json(text: str) -> str:
    r"""Return equivalent JSON on one line, with ``\u`` escapes for control and reordering characters.

    Args:
        text: valid JSON, which has such characters only inside strings.
    """
    return _DANGEROUS_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _make_visible(match: re.Match[str]) -> str:
    if match[0] == "\r\n":
        return "\n"
    code = ord(match[0])
    if code == 0x7F:
        return "\u2421"
    if code < 0x20:
        return chr(0x2400 + code)
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else f"<U+{code:04X}>"

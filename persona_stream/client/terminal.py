"""What can be done with a stream that people may be looking at.

Measure text in the columns of a terminal.

Make text from outside harmless for a terminal.

The law: what comes out holds no control character but newline and tab, and nothing that reorders text; and
harmless text comes out as it went in. What was dangerous stays visible: ESC as ``␛``, CSI as ``<U+009B>``.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Terminal:
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

    def style(self, text: str, style: str) -> str:
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


def detect_terminal(stream: TextIO | None, environ: Mapping[str, str]) -> Terminal:
    """Find out what a stream understands. ``None`` is one that was closed before the program began."""
    if stream is None:
        return Terminal(None)
    term = environ.get("TERM", "")
    is_terminal = stream.isatty()
    can_redraw = is_terminal and term not in ("", "dumb")
    columns = environ.get("COLUMNS", "")
    is_utf8 = (stream.encoding or "").lower().replace("-", "") == "utf8"
    return Terminal(
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


_VARIATION_AS_EMOJI = "\ufe0f"
_HANGUL_VOWELS_AND_FINALS = range(0x1160, 0x1200)


def display_width(text: str) -> int:
    """Count the columns that a line takes; rather one too many than one too few.

    Chinese, Japanese, Korean and emoji take two columns each, combining marks none. Characters of "ambiguous"
    width (Unicode annex 11) count as one, so those who draw with them should choose others.
    """
    return sum(map(_columns, text))


def truncate(text: str, room: int) -> str:
    """Give as much of the beginning as fits into the room, with ``...`` when something is left out."""
    if display_width(text) <= room:
        return text
    if room < 4:
        return ""
    taken, used = 0, 3
    for character in text:
        used += _columns(character)
        if used > room:
            break
        taken += 1
    return text[:taken].rstrip() + "..."


def _columns(character: str) -> int:
    if character.isascii():
        return 1
    if character == _VARIATION_AS_EMOJI:
        # It makes a narrow sign a wide picture.
        return 1
    if unicodedata.category(character) in ("Mn", "Me", "Cf") or ord(character) in _HANGUL_VOWELS_AND_FINALS:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


# C0 without \t and \n, DEL, C1 (a terminal in UTF-8 obeys those too), the embeddings, overrides and isolates of
# the bidirectional algorithm (CVE-2021-42574), and lone surrogates, which no encoding can write. The joiners and
# variation selectors of emoji, and the plain direction marks of Arabic and Hebrew, are left alone.
_C0 = "\x00-\x08\x0b-\x1f\x7f"
_OTHERS = "\x80-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_DANGEROUS = re.compile(f"\r\n|[{_C0}{_OTHERS}]")
_IN_JSON = re.compile(f"[\x7f{_OTHERS}\u2028\u2029]")
_SPACES = re.compile(r"\s+")


def sanitize(text: str) -> str:
    """Give the text without anything that moves the cursor, rings, changes the terminal, or reorders."""
    return _DANGEROUS.sub(_visible, text)


def sanitize_line(text: str) -> str:
    """Give the text harmless, and on one line: a status, not an answer."""
    return sanitize(_SPACES.sub(" ", text)).strip()


def sanitize_json(text: str) -> str:
    r"""Give JSON of the same meaning, with ``\u`` escapes for what a terminal, or a reader of lines, could take amiss.

    Args:
        text: valid JSON. It has such characters only in its strings, where an escape may stand for each.
    """
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _visible(found: re.Match[str]) -> str:
    if found[0] == "\r\n":
        return "\n"
    code = ord(found[0])
    if code == 0x7F:
        return "\u2421"
    if code < 0x20:
        return chr(0x2400 + code)
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else f"<U+{code:04X}>"

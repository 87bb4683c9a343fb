"""Texts of strangers, made fit for every wire and every store."""

from __future__ import annotations

import re

# JSON in UTF-8 cannot carry half a surrogate pair, and PostgreSQL, C clients and terminals cannot carry NUL.
_UNFIT = re.compile("[\ud800-\udfff\x00]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def clean(text: str) -> str:
    """Replace lone surrogates and NUL by U+FFFD, so that positions and lengths stay as they are."""
    return _UNFIT.sub("\ufffd", text) if not text.isascii() or "\x00" in text else text


def pair(text: str) -> str:
    """Make one character of each pair of surrogates, as they are left where a character came in two texts."""
    return text if text.isascii() else _PAIR.sub(_character, text)


def is_open(text: str) -> bool:
    """Tell whether a text ends with the first half of a pair of surrogates."""
    return "\ud800" <= text[-1:] <= "\udbff"


def _character(match: re.Match[str]) -> str:
    return match[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")

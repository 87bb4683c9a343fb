"""Texts of strangers, made fit for every wire and every store."""

from __future__ import annotations

import re

# JSON in UTF-8 cannot carry half a surrogate pair, and PostgreSQL, C clients and terminals cannot carry NUL.
_UNFIT = re.compile("[\ud800-\udfff\x00]")


def clean(text: str) -> str:
    """Replace lone surrogates and NUL by U+FFFD, so that positions and lengths stay as they are."""
    return _UNFIT.sub("\ufffd", text) if not text.isascii() or "\x00" in text else text

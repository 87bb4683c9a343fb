"""Measure text in the columns of a terminal."""

from __future__ import annotations

import unicodedata

_VARIATION_AS_EMOJI = "\ufe0f"
_HANGUL_VOWELS_AND_FINALS = range(0x1160, 0x1200)


def columns(text: str) -> int:
    """Count the columns that a line takes; rather one too many than one too few.

    Chinese, Japanese, Korean and emoji take two columns each, combining marks none. Characters of "ambiguous"
    width (Unicode annex 11) count as one, so those who draw with them should choose others.
    """
    return sum(map(_columns, text))


def clip(text: str, room: int) -> str:
    """Give as much of the beginning as fits into the room, with ``...`` when something is left out."""
    if columns(text) <= room:
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

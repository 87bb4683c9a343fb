"""How far a reader is: the event id ``<run id>/<facts>.<characters>``.

A position counts the facts that the reader has, and the characters it has of the next fact's text. It does not
depend on chunking, style or dialect, so a reader may come back with any other and miss nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from persona_stream.core.facts import Answered, Entry, TextDelta, has_ended, text_of
from persona_stream.errors import InvalidRequest

# 15 digits are more than any journal holds, and keep a hostile id from becoming a huge number.
_ID = re.compile(r"(?P<run>[^/]{1,200})/(?P<facts>\d{1,15})\.(?P<characters>\d{1,15})", re.ASCII)


class Position(NamedTuple):
    """Say how many facts a reader has, and how many characters of the next one's text."""

    facts: int
    characters: int


BEGINNING = Position(0, 0)


def parse(event_id: str, run_id: str) -> Position:
    """Read an event id of this run; an empty one is the beginning.

    Raises:
        InvalidRequest: it is malformed, or of another run.
    """
    if not event_id:
        return BEGINNING
    found = _ID.fullmatch(event_id)
    if found is None:
        raise InvalidRequest("Last-Event-ID is not an event id of this server: leave it out to read from the beginning")
    if found["run"] != run_id:
        raise InvalidRequest("Last-Event-ID belongs to another run")
    return Position(int(found["facts"]), int(found["characters"]))


def validate(position: Position, journal: Sequence[Entry]) -> Position:
    """Give the position back if it exists in this journal.

    Raises:
        InvalidRequest: it is beyond what has happened.
    """
    facts, characters = position
    held = len(text_of(journal[facts].fact)) if facts < len(journal) else 0
    if facts > len(journal) or characters > held:
        raise InvalidRequest("Last-Event-ID is beyond what this run has sent")
    return position


def position_at_character(characters: int, journal: Sequence[Entry]) -> Position:
    """Find the position of a reader that holds so many characters of the answer.

    Raises:
        InvalidRequest: the answer does not have that many yet.
    """
    if characters == 0:
        return BEGINNING
    left = characters
    for index, entry in enumerate(journal):
        if isinstance(entry.fact, TextDelta | Answered):
            length = len(entry.fact.text)
            if left <= length:
                return Position(index, left)
            left -= length
    raise InvalidRequest(f"from is beyond the answer, which has {characters - left} characters so far")


def is_at_end(position: Position, journal: Sequence[Entry]) -> bool:
    """Tell whether the reader has everything there will ever be."""
    return position.facts == len(journal) and has_ended(journal)

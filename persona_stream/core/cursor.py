"""Resume positions: the event id ``<run id>/<facts>.<characters>`` and the position that it stands for.

Invariants:
    A position counts the facts that a subscriber has received in full and the characters of the next fact's text. It
    does not depend on chunking, style or protocol, so a subscriber may resume with any other and loses no text.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from persona_stream.core.facts import AnswerDelta, Answered, Entry, has_ended, text_of
from persona_stream.errors import InvalidRequest

# 15 digits exceed any journal and keep a hostile id from becoming a huge number.
_EVENT_ID = re.compile(r"(?P<run>[^/]{1,200})/(?P<facts>\d{1,15})\.(?P<characters>\d{1,15})", re.ASCII)


class Position(NamedTuple):
    """Number of facts that a subscriber has received, and of characters of the next fact's text."""

    facts: int
    characters: int


BEGINNING = Position(0, 0)


def parse(event_id: str, run_id: str) -> Position:
    """Parse an event id of this run; an empty id is the beginning. Raise ``InvalidRequest`` for any other text."""
    if not event_id:
        return BEGINNING
    match = _EVENT_ID.fullmatch(event_id)
    if match is None:
        raise InvalidRequest("Last-Event-ID is not an event id of this server: leave it out to read from the beginning")
    if match["run"] != run_id:
        raise InvalidRequest("Last-Event-ID belongs to another run")
    return Position(int(match["facts"]), int(match["characters"]))


def validate(position: Position, journal: Sequence[Entry]) -> Position:
    """Return the position; raise ``InvalidRequest`` if it is beyond the journal."""
    facts, characters = position
    available = len(text_of(journal[facts].fact)) if facts < len(journal) else 0
    if facts > len(journal) or characters > available:
        raise InvalidRequest("Last-Event-ID is beyond what this run has sent")
    return position


def position_at_character(characters: int, journal: Sequence[Entry]) -> Position:
    """Return the position after these characters of the answer; raise ``InvalidRequest`` if it is not that long."""
    if characters == 0:
        return BEGINNING
    remaining = characters
    for index, entry in enumerate(journal):
        if isinstance(entry.fact, AnswerDelta | Answered):
            length = len(entry.fact.text)
            if remaining <= length:
                return Position(index, remaining)
            remaining -= length
    raise InvalidRequest(f"from is beyond the answer, which has {characters - remaining} characters so far")


def is_at_end(position: Position, journal: Sequence[Entry]) -> bool:
    """Return whether the run has ended and the subscriber has received all of it."""
    return position.facts == len(journal) and has_ended(journal)

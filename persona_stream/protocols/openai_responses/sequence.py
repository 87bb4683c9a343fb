"""Sequence numbers of the events of a run, computed from its journal.

A number names a position in the run. Each fact of the journal has a block of numbers: ``SLOTS`` for the events without
text, and one for each character of its text. Numbers after the last block belong to the ending.

Invariants:
    Every replay, in any process, gives an event the number that it had.
    Numbers rise along a stream, and may have gaps.
"""

from collections.abc import Sequence

from persona_stream.core.cursor import Position
from persona_stream.core.facts import Entry, text_of

SLOTS = 8  # at most three events close an item, and two open the next one


class SequenceNumbers:
    """Numbers of the events of one journal, which may grow."""

    __slots__ = ("_entries", "_starts")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._starts = [0]  # first number of each block

    def at(self, position: Position) -> int:
        """Return the number of an event that brings its subscriber to a position."""
        start = self._start(position.facts)
        return start + SLOTS + position.characters if position.characters else start

    def in_block(self, fact: int, slot: int) -> int:
        """Return the number of an event without text, from slot 1, before the text of a fact or in the ending."""
        return self._start(fact) + slot

    def _start(self, fact: int) -> int:
        starts = self._starts
        while len(starts) <= fact:
            starts.append(starts[-1] + SLOTS + len(text_of(self._entries[len(starts) - 1].fact)))
        return starts[fact]

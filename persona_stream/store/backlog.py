"""Records that wait to be written: bounded, so that a database that is away for long does not take all memory."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from itertools import islice

from persona_stream.core.facts import text_of
from persona_stream.store.records import ConversationForgotten, Exchanged, OwnerForgotten, Record, RunBegan, RunEnded

logger = logging.getLogger("persona_stream.store")

_RECORD_BYTES, _ENTRY_BYTES = 1_000, 300  # about what one takes beside its texts
# What a person would miss, or has asked for, is kept for longer than what an operator would look at.
_DEAR = (Exchanged, ConversationForgotten, OwnerForgotten)


class Backlog:
    """Keep records in their order, up to ``most_bytes``; of what a person would miss, up to twice that."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._records: deque[tuple[Record, int]] = deque()
        self._bytes = 0
        self.put = self.taken = self.dropped = 0

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: Record) -> None:
        """Add a record, or drop it."""
        size = _size(record)
        bound = 2 * self._most_bytes if isinstance(record, _DEAR) else self._most_bytes
        if self._bytes + size > bound:
            if not self.dropped:
                logger.error("the database is away for too long: the log loses what comes now")
            self.dropped += 1
            return
        self._records.append((record, size))
        self._bytes += size
        self.put += 1

    def first(self, count: int) -> Sequence[Record]:
        """Give the oldest, and keep them."""
        return [record for record, _ in islice(self._records, count)]

    def done(self, count: int) -> None:
        """Let go of the oldest, for they are written."""
        for _ in range(count):
            self._bytes -= self._records.popleft()[1]
        self.taken += count
        if not self._records and self.dropped:
            logger.error("the database is back: the log has lost %d records", self.dropped)


def _size(record: Record) -> int:
    match record:
        case RunBegan(order=order):
            # Its query holds the body's texts once more, and the headers are strings of their own.
            return 4 * _RECORD_BYTES + len(order.origin.body) + 2 * len(order.query.message)
        case RunEnded(entries=entries) | Exchanged(entries=entries):
            return _RECORD_BYTES + sum(_ENTRY_BYTES + 2 * len(text_of(entry.fact)) for entry in entries)
        case _:
            return _RECORD_BYTES

"""Whole transcripts of encoders, for the tests of each protocol."""

from __future__ import annotations

from collections.abc import Sequence

from persona_stream.core.cursor import BEGINNING, Position
from persona_stream.core.facts import Entry, Started
from persona_stream.core.sse import encode_all
from persona_stream.protocols.base import EventEncoder
from tests.fakes import accepted, read, subscription_options

AT = 1_795_154_400.25
BEGUN = ((AT, accepted()), (AT, Started()))


def transcript_of(
    encoder: EventEncoder, journal: Sequence[Entry], start: Position = BEGINNING, since: float = AT
) -> str:
    """Return the whole stream of a subscriber that joins at ``since``, with the reasoning."""
    events = read(journal, subscription_options(reasoning=True, start=start), since=since)
    return b"".join(encode_all(encoder.encode(event)) for _, event in events).decode()

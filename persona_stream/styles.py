"""The three manners of streaming, which differ by their numbers alone."""

from __future__ import annotations

from msgspec import Struct


class Style(Struct, frozen=True):
    """Hold the numbers of one manner of streaming.

    Attributes:
        name: what clients call it.
        interval: seconds between two progress events.
        chunking: the chunker used unless the request names one.
        pause: seconds between two pieces of the answer.
    """

    name: str
    interval: float
    chunking: str
    pause: float


BASIC = Style("basic", interval=3.0, chunking="characters", pause=0.05)
ADVANCED = Style("advanced", interval=2.0, chunking="words", pause=0.1)
SMART = Style("smart", interval=2.0, chunking="words", pause=0.05)

STYLES = {style.name: style for style in (BASIC, ADVANCED, SMART)}

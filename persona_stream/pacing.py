"""When each piece of an answer is due.

A pause follows each piece, twice as long behind the end of a sentence. Who reads a long answer does not wait
longer for it: all pauses shrink alike, so that the last piece is due within ``CAP``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from persona_stream.chunking.sentence_ends import ends_sentence

__all__ = ["CAP", "ends_sentence", "schedule"]

CAP = 10.0
"""Seconds in which any answer is delivered."""


def schedule(pieces: Sequence[str], pause: float, cap: float = CAP) -> list[float]:
    """Give the moment at which each piece is due, in seconds after the answer came. The first is due at once.

    Args:
        pieces: the answer, in pieces.
        pause: seconds from one piece to the next; 0 makes all due at once.
        cap: the latest moment, in seconds.

    Raises:
        ValueError: ``pause`` or ``cap`` is negative, or ``pause`` is no number of seconds at all.
    """
    if not (0 <= pause < math.inf and cap >= 0):
        raise ValueError(f"a pause of {pause} s within {cap} s cannot be kept")
    if not pieces:
        return []
    moments = list(accumulate((pause * (2 if ends_sentence(piece) else 1) for piece in pieces[:-1]), initial=0.0))
    if moments[-1] <= cap:
        return moments
    scale = cap / moments[-1]
    # Rounding could carry the last one past the cap.
    return [min(moment * scale, cap) for moment in moments]

"""How far a run is, as far as anybody can tell.

The law of an estimate: its percentage is an integer from 0 to 95 that never falls while time goes on.

When each piece of an answer is due.

A pause follows each piece, twice as long behind the end of a sentence. Who reads a long answer does not wait
longer for it: all pauses shrink alike, so that the last piece is due within ``CAP``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

from persona_stream.chunking.sentence_boundaries import ends_sentence
from persona_stream.core.facts import ProgressReported

START_PERCENT = 5
MAX_WAITING_PERCENT = 95
_TOO_EARLY = 0.02  # a share so small says nothing about the time that the rest will take


class ProgressEstimator(Protocol):
    """Guess how far a run is from how long it has been running. A better guess can take the place of this one."""

    def __call__(self, elapsed: float, deadline: float) -> float:
        """Give a percentage. It must not fall as ``elapsed`` rises; both are in seconds."""
        ...


def linear_to_deadline(elapsed: float, deadline: float) -> float:
    """Fill the bar in the time that the run may take."""
    return START_PERCENT + 90.0 * elapsed / deadline


class ProgressTracker:
    """Hold what is known about one run: its terms, its beginning, and what its backend told."""

    __slots__ = ("_deadline", "_estimator", "_fraction", "_reported_after", "message")

    def __init__(self, deadline: float, estimator: ProgressEstimator = linear_to_deadline) -> None:
        self._deadline = deadline
        self._estimator = estimator
        self._fraction = 0.0
        self._reported_after = 0.0
        self.message = ""

    def report(self, fact: ProgressReported, elapsed: float) -> None:
        """Take what the backend told, so many seconds after the run started."""
        if fact.message:
            self.message = fact.message
        if fact.fraction is not None and fact.fraction > self._fraction:
            self._fraction = fact.fraction
            self._reported_after = elapsed

    def percent(self, elapsed: float) -> int:
        """Give the percentage at this moment."""
        guess = self._estimator(max(0.0, elapsed), self._deadline)
        return int(min(MAX_WAITING_PERCENT, max(guess, 100.0 * self._fraction)))

    def eta(self, elapsed: float) -> float | None:
        """Give the seconds that are left, if the backend told enough to know."""
        if self._fraction < _TOO_EARLY:
            return None
        whole = self._reported_after / self._fraction
        return max(0.0, whole - elapsed)


__all__ = ["MAX_DELIVERY_SECONDS", "ends_sentence", "schedule_chunks"]

MAX_DELIVERY_SECONDS = 10.0
"""Seconds in which any answer is delivered."""


def schedule_chunks(pieces: Sequence[str], pause: float, cap: float = MAX_DELIVERY_SECONDS) -> list[float]:
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

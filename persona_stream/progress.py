"""How far a run is, as far as anybody can tell.

The law of an estimate: its percentage is an integer from 0 to 95 that never falls while time goes on.
"""

from __future__ import annotations

from typing import Protocol

from persona_stream.facts import Reported

START = 5
CEILING = 95
_TOO_EARLY = 0.02  # a share so small says nothing about the time that the rest will take


class Estimator(Protocol):
    """Guess how far a run is from how long it has been running. A better guess can take the place of this one."""

    def __call__(self, elapsed: float, deadline: float) -> float:
        """Give a percentage. It must not fall as ``elapsed`` rises; both are in seconds."""
        ...


def by_deadline(elapsed: float, deadline: float) -> float:
    """Fill the bar in the time that the run may take."""
    return START + 90.0 * elapsed / deadline


class Estimate:
    """Hold what is known about one run: its terms, its beginning, and what its backend told."""

    __slots__ = ("_deadline", "_estimator", "_fraction", "_reported_after", "message")

    def __init__(self, deadline: float, estimator: Estimator = by_deadline) -> None:
        self._deadline = deadline
        self._estimator = estimator
        self._fraction = 0.0
        self._reported_after = 0.0
        self.message = ""

    def report(self, fact: Reported, elapsed: float) -> None:
        """Take what the backend told, so many seconds after the run started."""
        if fact.message:
            self.message = fact.message
        if fact.fraction is not None and fact.fraction > self._fraction:
            self._fraction = fact.fraction
            self._reported_after = elapsed

    def percent(self, elapsed: float) -> int:
        """Give the percentage at this moment."""
        guess = self._estimator(max(0.0, elapsed), self._deadline)
        return int(min(CEILING, max(guess, 100.0 * self._fraction)))

    def eta(self, elapsed: float) -> float | None:
        """Give the seconds that are left, if the backend told enough to know."""
        if self._fraction < _TOO_EARLY:
            return None
        whole = self._reported_after / self._fraction
        return max(0.0, whole - elapsed)

"""Progress estimates of a run, and the delivery schedule of an answer's chunks.

Invariants:
    The percentage is an integer from 0 to 95 and never falls while time passes.
    The first chunk is due at once, the last within ``MAX_DELIVERY_SECONDS``; the pause after a sentence is twice as
    long, and all pauses of a long answer shrink by the same factor.
"""

import math
from collections.abc import Callable, Sequence
from itertools import accumulate

from persona_stream.chunking.sentence_boundaries import ends_sentence
from persona_stream.core.facts import ProgressReported

MAX_DELIVERY_SECONDS = 10.0
START_PERCENT = 5
MAX_WAITING_PERCENT = 95
_MIN_FRACTION_FOR_ETA = 0.02  # a smaller fraction does not predict the remaining time


ProgressEstimator = Callable[[float, float], float]
"""Returns a percentage for the elapsed seconds and the deadline; it does not fall while time passes."""


def linear_to_deadline(elapsed: float, deadline: float) -> float:
    """Return a percentage that grows linearly and reaches its maximum at the deadline."""
    return START_PERCENT + 90.0 * elapsed / deadline


class ProgressTracker:
    """Progress of one run, from its deadline and the reports of its backend."""

    __slots__ = ("_deadline", "_estimator", "_fraction", "_reported_after", "message")

    def __init__(self, deadline: float, estimator: ProgressEstimator = linear_to_deadline) -> None:
        self._deadline = deadline
        self._estimator = estimator
        self._fraction = 0.0
        self._reported_after = 0.0
        self.message = ""

    def report(self, fact: ProgressReported, elapsed: float) -> None:
        """Record a report of the backend, ``elapsed`` seconds after the start."""
        if fact.message:
            self.message = fact.message
        if fact.fraction is not None and fact.fraction > self._fraction:
            self._fraction = fact.fraction
            self._reported_after = elapsed

    def percent(self, elapsed: float) -> int:
        """Return the percentage ``elapsed`` seconds after the start."""
        estimate = self._estimator(max(0.0, elapsed), self._deadline)
        return int(min(MAX_WAITING_PERCENT, max(estimate, 100.0 * self._fraction)))

    def eta(self, elapsed: float) -> float | None:
        """Return the estimated remaining seconds, or ``None`` before the backend has reported enough progress."""
        if self._fraction < _MIN_FRACTION_FOR_ETA:
            return None
        total = self._reported_after / self._fraction
        return max(0.0, total - elapsed)


def schedule_chunks(chunks: Sequence[str], pause: float, cap: float = MAX_DELIVERY_SECONDS) -> list[float]:
    """Return the seconds, at most ``cap``, from the answer to each chunk, with ``pause`` seconds between two."""
    if not (0 <= pause < math.inf and cap >= 0):
        raise ValueError(f"pause must be finite and, like cap, not negative: pause={pause}, cap={cap}")
    if not chunks:
        return []
    times = list(accumulate((pause * (2 if ends_sentence(chunk) else 1) for chunk in chunks[:-1]), initial=0.0))
    if times[-1] <= cap:
        return times
    scale = cap / times[-1]
    # Rounding could move the last one past the cap.
    return [min(time * scale, cap) for time in times]

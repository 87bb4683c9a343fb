"""Snapshot of a run: its timings, status, text and progress, derived from its facts.

Invariants:
    The percentage of a run without an end is an integer from 0 to 95 and never falls while time passes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from persona_stream.core import facts

RunStatus = Literal["queued", "processing", "complete", "error", "timeout", "cancelled"]

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

    def report(self, fact: facts.ProgressReported, elapsed: float) -> None:
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


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """State of a run at one moment. Times are in seconds since 1970, and ``None`` if not reached yet."""

    run: facts.Accepted
    accepted_at: float
    started_at: float | None
    text_at: float | None
    ended_at: float | None
    ending: facts.Answered | facts.Failed | None
    text: str
    reasoning: str
    progress: ProgressTracker

    @property
    def status(self) -> RunStatus:
        """Status of the run."""
        if self.ending is None:
            return "queued" if self.started_at is None else "processing"
        return final_status(self.ending)

    def elapsed(self, now: float) -> float:
        """Return the seconds from the start (or acceptance, if it never started) to the end, or until ``now``."""
        since = self.accepted_at if self.started_at is None else self.started_at
        return max(0.0, (now if self.ended_at is None else self.ended_at) - since)

    def percent(self, now: float) -> int:
        """Return the progress that subscribers see at this moment, 5 to 100."""
        if isinstance(self.ending, facts.Answered):
            return 100
        return self.progress.percent(0.0 if self.started_at is None else self.elapsed(now))


def final_status(ending: facts.Answered | facts.Failed) -> RunStatus:
    """Return the status of a run with this final fact."""
    match ending:
        case facts.Answered():
            return "complete"
        case facts.Failed(code="timeout" | "cancelled" as code):
            return code
        case facts.Failed():
            return "error"


def take_snapshot(entries: Sequence[facts.Entry]) -> RunSnapshot:
    """Build the snapshot of a journal."""
    run = facts.run_terms(entries)
    progress = ProgressTracker(run.deadline)
    started_at = None
    text_at = None
    texts: list[str] = []
    reasoning: list[str] = []
    for entry in entries:
        match entry.fact:
            case facts.Started():
                started_at = entry.at
            case facts.ProgressReported() as report:
                progress.report(report, 0.0 if started_at is None else entry.at - started_at)
            case facts.ReasoningDelta(text=text):
                reasoning.append(text)
            case facts.AnswerDelta(text=text) | facts.Answered(text=text):
                texts.append(text)
                text_at = entry.at if text_at is None else text_at
    last = entries[-1]
    ending = last.fact if isinstance(last.fact, facts.Answered | facts.Failed) else None
    times = (entries[0].at, started_at, text_at, None if ending is None else last.at)
    return RunSnapshot(run, *times, ending, text="".join(texts), reasoning="".join(reasoning), progress=progress)

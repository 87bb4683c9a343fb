"""Snapshot of a run: its timings, status, text and progress, derived from its facts.

Invariants:
    The percentage of a run without an end is an integer from 5 to 95 and never falls while time passes.
    Percentage and remaining time are functions of the facts and the time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from persona_stream.core import facts, forecast

RunStatus = Literal["queued", "processing", "complete", "error", "timeout", "cancelled"]

START_PERCENT = 5
MAX_WAITING_PERCENT = 95
_MIN_REPORTED_SECONDS = 0.05  # between the first and the latest report; a shorter time has no slope
_STEADY_SHARE = 0.8  # of a step between two reports, in which the percentage grows at their slope


class ProgressTracker:
    """Progress of one run, from its forecast and the reports of its backend.

    Without a forecast, the percentage grows linearly until the deadline. With two reports, it grows at the slope
    between the first and the latest, up to the next expected one.
    """

    __slots__ = ("_deadline", "_first", "_floor", "_forecast", "_latest", "_step", "message")

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._forecast: forecast.Forecast | None = None
        self._first: tuple[float, float] | None = None  # seconds and fraction of the first report
        self._latest = (0.0, 0.0)
        self._step = 0.0  # fraction between the latest two reports
        self._floor = float(START_PERCENT)  # percentage that was shown before the latest report
        self.message = ""

    def start(self, fact: facts.Started) -> None:
        """Use the forecast of the run, if it has one."""
        self._forecast = fact.forecast

    def report(self, fact: facts.ProgressReported, elapsed: float) -> None:
        """Record a report of the backend, ``elapsed`` seconds after the start."""
        if fact.message:
            self.message = fact.message
        if fact.fraction is None or (self._first is not None and fact.fraction <= self._latest[1]):
            return
        elapsed = max(0.0, elapsed)
        self._floor = self._exact_percent(elapsed)
        if self._first is None:
            self._first = (elapsed, fact.fraction)
        self._step = fact.fraction - self._latest[1]
        self._latest = (elapsed, fact.fraction)

    def percent(self, elapsed: float) -> int:
        """Return the percentage ``elapsed`` seconds after the start, 5 to 95."""
        return int(min(MAX_WAITING_PERCENT, self._exact_percent(max(0.0, elapsed))))

    def eta(self, elapsed: float) -> float | None:
        """Return the estimated remaining seconds, or ``None`` if they are not known; never 0."""
        if self._first is not None and (reported := self._carry_forward(self._first, elapsed)) is not None:
            fraction, slope = reported
            return (1.0 - fraction) / slope if fraction < 1.0 else None
        if self._forecast is None:
            return None
        return self._forecast.eta(max(0.0, elapsed)) or None

    def _exact_percent(self, elapsed: float) -> float:
        if self._first is not None and (reported := self._carry_forward(self._first, elapsed)) is not None:
            return max(self._floor, 100.0 * reported[0])
        if self._forecast is not None:
            estimate = self._forecast.percent(elapsed)
        else:
            estimate = START_PERCENT + 90.0 * elapsed / self._deadline
        return max(self._floor, estimate, 100.0 * self._latest[1])

    def _carry_forward(self, first: tuple[float, float], elapsed: float) -> tuple[float, float] | None:
        """Return the expected fraction and its slope per second, or ``None`` before there are two reports."""
        first_at, first_fraction = first
        latest_at, latest_fraction = self._latest
        seconds = latest_at - first_at
        if seconds < _MIN_REPORTED_SECONDS:
            return None
        slope = (latest_fraction - first_fraction) / seconds
        step = min(self._step, 1.0 - latest_fraction)
        expected = max(0.0, slope * (elapsed - latest_at))
        if expected <= step * _STEADY_SHARE:
            return latest_fraction + expected, slope
        # Slower towards the next report, which may be late: so the percentage does not stand still.
        fraction = latest_fraction + step * (1.0 - _STEADY_SHARE * (1.0 - _STEADY_SHARE) * step / expected)
        slope_if_reported = (latest_fraction + step - first_fraction) / max(seconds, elapsed - first_at)
        return fraction, min(slope, slope_if_reported)


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
            case facts.Started() as started:
                started_at = entry.at
                progress.start(started)
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

"""Snapshot of a run: its timings, status, text and progress, derived from its facts.

Invariants:
    The percentage of a run without an end is an integer from 5 to 95 and never falls while time passes.
    Percentage and remaining time are functions of the facts and the time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from persona_stream.core import facts, forecast, query

RunStatus = Literal["queued", "processing", "input_required", "complete", "error", "timeout", "cancelled"]

START_PERCENT = 5
MAX_WAITING_PERCENT = 95
_MIN_REPORTED_SECONDS = 0.05  # between the first and the latest report; a shorter time has no slope
_STEADY_SHARE = 0.8  # of a step between two reports, in which the percentage grows at their slope
LATE_SHARE = 0.98  # of the deadline; an estimate cannot exceed it, since a run that timed out counts with its deadline

# Variances are of the logarithm of durations.
_STEP_VARIANCE = 0.09  # assumed for the steps between reports
_MIN_VARIANCE = 0.001
_RANGE_DEVIATIONS = 3.3  # standard deviations between the bounds of a forecast


class ProgressTracker:
    """Progress of one run, from its forecast and the reports of its backend.

    Without a forecast, the percentage grows linearly until the deadline. With two reports, it grows at their pace up to
    the next expected one. The pace is that between the first and the latest report and, with a forecast, also that of
    the earlier runs, which counts more the more equally long these runs took.
    """

    __slots__ = ("_deadline", "_expected", "_first", "_floor", "_forecast", "_latest", "_pace", "_step", "message")

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._forecast: forecast.Forecast | None = None
        self._expected = (deadline, 0.0)  # median duration of earlier runs, and the number of steps that it counts for
        self._first: tuple[float, float] | None = None  # seconds and fraction of the first report
        self._latest = (0.0, 0.0)
        self._step = 0.0  # fraction between the latest two reports
        self._pace: tuple[float, float] | None = None  # seconds and fraction that are the basis of the pace
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
        self._floor = self._exact_estimate(elapsed)[0]
        if self._first is None:
            self._first = (elapsed, fact.fraction)
            self._expected = self._summarize_forecast()
        self._step = fact.fraction - self._latest[1]
        self._latest = (elapsed, fact.fraction)
        seconds = elapsed - self._first[0]
        if seconds >= _MIN_REPORTED_SECONDS:
            duration, steps = self._expected
            assumed = steps * self._step
            self._pace = (seconds + assumed * duration, fact.fraction - self._first[1] + assumed)

    def estimate(self, elapsed: float) -> tuple[int, float | None]:
        """Return the percentage ``elapsed`` seconds after the start, 5 to 95, and the estimated remaining seconds.

        These are ``None`` if they are not known, and never 0.
        """
        percent, eta = self._exact_estimate(elapsed if elapsed > 0.0 else 0.0)
        return int(percent) if percent < MAX_WAITING_PERCENT else MAX_WAITING_PERCENT, eta or None

    def percent(self, elapsed: float) -> int:
        """Return the percentage alone."""
        return self.estimate(elapsed)[0]

    def is_late(self, elapsed: float, eta: float | None) -> bool:
        """Return whether a run with these remaining seconds will probably miss its deadline."""
        return eta is not None and elapsed + eta >= LATE_SHARE * self._deadline

    def _exact_estimate(self, elapsed: float) -> tuple[float, float | None]:
        eta = None
        if self._pace is not None:
            fraction, eta = self._carry_forward(*self._pace, elapsed)
            percent = 100.0 * fraction
        else:
            if self._forecast is not None:
                percent, eta = self._forecast.estimate(elapsed)
                if self._first is not None:
                    # A forecast rises early, in case that the run is short. With reports to come, it need not.
                    percent = min(percent, 100.0 * elapsed / self._expected[0])
            else:
                percent = START_PERCENT + 90.0 * elapsed / self._deadline
            if self._first is not None:
                percent = max(percent, 100.0 * self._latest[1])
        return percent if percent > self._floor else self._floor, eta

    def _carry_forward(self, seconds: float, fraction: float, elapsed: float) -> tuple[float, float | None]:
        """Return the expected fraction and the remaining seconds, at a pace of ``fraction`` in ``seconds``."""
        latest_at, latest_fraction = self._latest
        if latest_fraction >= 1.0:
            return 1.0, None
        step = min(self._step, 1.0 - latest_fraction)
        slope = fraction / seconds
        since = max(0.0, elapsed - latest_at)
        expected = slope * since
        if expected <= step * _STEADY_SHARE:
            return latest_fraction + expected, (1.0 - latest_fraction - expected) / slope
        # Slower towards the next report, which may be late: so the percentage does not stand still.
        expected = latest_fraction + step * (1.0 - _STEADY_SHARE * (1.0 - _STEADY_SHARE) * step / expected)
        slope_if_reported = (fraction + step) / (seconds + since)
        return expected, (1.0 - expected) / min(slope, slope_if_reported)

    def _summarize_forecast(self) -> tuple[float, float]:
        """Return the median duration of earlier runs, or the deadline; and the number of steps that it counts for."""
        expected = None if self._forecast is None else self._forecast.remaining(0.0)
        if expected is None or expected.low <= 0.0:
            return self._deadline, 0.0
        variance = (math.log(expected.high / expected.low) / _RANGE_DEVIATIONS) ** 2
        return expected.median, _STEP_VARIANCE / max(variance, _MIN_VARIANCE)


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
    open_input: tuple[float, query.InputRequest] | None = None  # with the time at which it was asked

    @property
    def status(self) -> RunStatus:
        """Status of the run."""
        if self.ending is None:
            if self.open_input is not None:
                return "input_required"
            return "queued" if self.started_at is None else "processing"
        return final_status(self.ending)

    def elapsed(self, now: float) -> float:
        """Return the seconds from the start (or acceptance, if it never started) to the end, or until ``now``."""
        since = self.accepted_at if self.started_at is None else self.started_at
        return max(0.0, (now if self.ended_at is None else self.ended_at) - since)

    def input_expires_in(self, now: float) -> float:
        """Return the seconds for which the question stays open; 0.0 without one."""
        if self.open_input is None or self.started_at is None:
            return 0.0
        return max(0.0, input_expires_at(*self.open_input, self.started_at + self.run.deadline) - now)

    def percent(self, now: float) -> int:
        """Return the progress that subscribers see at this moment, 5 to 100."""
        if isinstance(self.ending, facts.Answered):
            return 100
        return self.progress.percent(0.0 if self.started_at is None else self.elapsed(now))


def input_expires_at(asked_at: float, request: query.InputRequest, deadline_at: float) -> float:
    """Return the moment until which a question stays open."""
    return deadline_at if request.timeout is None else min(asked_at + request.timeout, deadline_at)


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
    inputs = facts.OpenInputs()
    for entry in entries:
        inputs.add(entry.at, entry.fact)
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
    return RunSnapshot(
        run,
        *times,
        ending,
        text="".join(texts),
        reasoning="".join(reasoning),
        progress=progress,
        open_input=inputs.oldest,
    )

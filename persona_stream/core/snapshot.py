"""A run at a glance: its stages, its state and its text, read off its facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from persona_stream.core.facts import (
    Accepted,
    Answered,
    Entry,
    Failed,
    ProgressReported,
    ReasoningDelta,
    Started,
    TextDelta,
    run_terms,
)
from persona_stream.core.progress import ProgressTracker

RunStatus = Literal["queued", "processing", "complete", "error", "timeout", "cancelled"]


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """Hold what a journal says in all. Moments are seconds since 1970, and ``None`` where not yet."""

    run: Accepted
    accepted_at: float
    started_at: float | None
    text_at: float | None
    ended_at: float | None
    ending: Answered | Failed | None
    text: str
    reasoning: str
    estimate: ProgressTracker

    @property
    def status(self) -> RunStatus:
        """Name the state that the run is in."""
        if self.ending is None:
            return "queued" if self.started_at is None else "processing"
        return final_status(self.ending)

    def elapsed(self, now: float) -> float:
        """Give the seconds from the start (or from the taking in, if it never started) to the end, or until now."""
        since = self.accepted_at if self.started_at is None else self.started_at
        return max(0.0, (now if self.ended_at is None else self.ended_at) - since)

    def percent(self, now: float) -> int:
        """Give the percentage that a reader sees at this moment."""
        if isinstance(self.ending, Answered):
            return 100
        return self.estimate.percent(0.0 if self.started_at is None else self.elapsed(now))


def final_status(ending: Answered | Failed) -> RunStatus:
    """Name the state of a run with this ending."""
    match ending:
        case Answered():
            return "complete"
        case Failed(code="timeout" | "cancelled" as code):
            return code
        case Failed():
            return "error"


def take_snapshot(entries: Sequence[Entry]) -> RunSnapshot:
    """Read a journal."""
    run = run_terms(entries)
    estimate = ProgressTracker(run.deadline)
    started_at = text_at = ended_at = None
    ending: Answered | Failed | None = None
    texts: list[str] = []
    thoughts: list[str] = []
    for entry in entries:
        match entry.fact:
            case Started():
                started_at = entry.at
            case ProgressReported() as report:
                estimate.report(report, 0.0 if started_at is None else entry.at - started_at)
            case ReasoningDelta(text=text):
                thoughts.append(text)
            case TextDelta(text=text):
                texts.append(text)
                text_at = entry.at if text_at is None else text_at
            case Answered() as answered:
                texts.append(answered.text)
                text_at = entry.at if text_at is None else text_at
                ended_at, ending = entry.at, answered
            case Failed() as failed:
                ended_at, ending = entry.at, failed
            case _:
                pass
    return RunSnapshot(
        run, entries[0].at, started_at, text_at, ended_at, ending, "".join(texts), "".join(thoughts), estimate
    )

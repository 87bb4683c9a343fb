"""One line in the log for each run, with the time of each stage; each step at debug."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from persona_stream.core.facts import Answered, Entry, Failed, is_ending, run_terms
from persona_stream.core.snapshot import take_snapshot
from persona_stream.runs.observer import Notification

logger = logging.getLogger("persona_stream.runs")


class LogObserver:
    """Write what happened to the log."""

    def on_fact(self, entries: Sequence[Entry]) -> None:
        fact, run_id = entries[-1].fact, run_terms(entries).run_id
        if is_ending(fact):
            wanted = isinstance(fact, Answered) or (isinstance(fact, Failed) and fact.code == "cancelled")
            level = logging.INFO if wanted else logging.WARNING
            if logger.isEnabledFor(level):
                logger.log(level, "%s", _line(entries), extra={"run_id": run_id})
        elif logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s", type(fact).__name__.lower(), extra={"run_id": run_id})

    def on_notification(self, run_id: str, note: Notification) -> None:
        """Leave it be: a run has one line."""


def _line(entries: Sequence[Entry]) -> str:
    summary = take_snapshot(entries)
    run, ended_at = summary.run, entries[-1].at
    started_at = ended_at if summary.started_at is None else summary.started_at
    result = summary.ending.code if isinstance(summary.ending, Failed) else f"answered, {len(summary.text)} characters"
    stages = [f"waited {started_at - summary.accepted_at:.1f} s", f"processed {ended_at - started_at:.1f} s"]
    if summary.text_at is not None and summary.text_at < ended_at:
        stages.insert(1, f"first text after {summary.text_at - started_at:.1f} s")
    # repr: these names come from strangers, and a newline in one must not forge a line of the log.
    return f"{result}: {run.owner!r} asked {run.username!r} ({run.style}), {', '.join(stages)}"

"""Log lines of runs: one line for each run with the duration of its stages; at debug level, one for each fact."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from persona_stream.core.facts import Answered, Entry, Failed, is_ending, run_terms
from persona_stream.core.snapshot import take_snapshot
from persona_stream.runs.observer import RunObserver

logger = logging.getLogger("persona_stream.runs")


class LogObserver(RunObserver):
    """Observer that logs runs."""

    def on_fact(self, entries: Sequence[Entry]) -> None:
        """Log the end of a run; at debug level, each fact."""
        fact = entries[-1].fact
        run_id = run_terms(entries).run_id
        if is_ending(fact):
            is_expected = isinstance(fact, Answered) or (isinstance(fact, Failed) and fact.code == "cancelled")
            level = logging.INFO if is_expected else logging.WARNING
            if logger.isEnabledFor(level):
                logger.log(level, "%s", _summary(entries), extra={"run_id": run_id})
        elif logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s", type(fact).__name__.lower(), extra={"run_id": run_id})


def _summary(entries: Sequence[Entry]) -> str:
    snapshot = take_snapshot(entries)
    run = snapshot.run
    ended_at = entries[-1].at
    started_at = ended_at if snapshot.started_at is None else snapshot.started_at
    ending = snapshot.ending
    result = ending.code if isinstance(ending, Failed) else f"answered, {len(snapshot.text)} characters"
    stages = [f"waited {started_at - snapshot.accepted_at:.1f} s", f"processed {ended_at - started_at:.1f} s"]
    if snapshot.text_at is not None and snapshot.text_at < ended_at:
        stages.insert(1, f"first text after {snapshot.text_at - started_at:.1f} s")
    # repr: these names are untrusted, and a newline in one must not forge a line of the log.
    return f"{result}: {run.owner!r} asked {run.username!r} ({run.style}), {', '.join(stages)}"

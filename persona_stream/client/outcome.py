"""How an attempt to get an answer ends, and the exit code that says so."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """Name each ending. The value is the exit code, for scripts to use."""

    ANSWERED = 0
    FAILED = 1
    USAGE = 2
    TIMEOUT = 3
    REFUSED = 4
    CANCELLED = 130


def of_status(status: str, code: str) -> Outcome:
    """Tell the outcome of a run from the status and the code of its terminal event."""
    if status == "complete":
        return Outcome.ANSWERED
    if "timeout" in (status, code):
        return Outcome.TIMEOUT
    if "cancelled" in (status, code):
        return Outcome.CANCELLED
    return Outcome.FAILED

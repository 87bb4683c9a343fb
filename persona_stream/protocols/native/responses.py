"""A run as one JSON object: what ``/api/chat`` answers, and what ``/api/runs`` shows.

Moments as people and programs read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from persona_stream.core.cursor import BEGINNING
from persona_stream.core.events import RunFailed
from persona_stream.core.facts import Answered, Entry, Failed
from persona_stream.core.i18n import error_text
from persona_stream.core.query import Finish, Usage
from persona_stream.core.snapshot import RunStatus, take_snapshot
from persona_stream.protocols.base import http_status_for
from persona_stream.protocols.native.encoder import failure_frame
from persona_stream.protocols.native.schemas import Seconds, TerminalFrame, finish_of


def isoformat(at: float) -> str:
    """Write a moment, in seconds since 1970, as ISO 8601 in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class ChatAnswer(Struct, frozen=True, kw_only=True):
    """The answer of ``POST /api/chat``."""

    success: Literal[True] = True
    data: str
    status: Literal["complete"] = "complete"
    is_complete: Literal[True] = True
    run_id: str
    conversation_id: str
    total_time: Seconds
    usage: Usage | None
    finish: Finish | UnsetType = UNSET


class RunView(Struct, frozen=True, kw_only=True):
    """A run as it stands. What is not there yet is null. Moments are ISO 8601 in UTC."""

    success: Literal[True] = True
    run_id: str
    status: RunStatus
    username: str
    conversation_id: str
    created_at: str
    started_at: str | None
    finished_at: str | None
    elapsed_time: Seconds
    progress: int
    data: str | None
    error: str | None
    code: str | None
    usage: Usage | None
    events_url: str
    finish: Finish | UnsetType = UNSET
    still_running: Literal[True] | UnsetType = UNSET


class RunList(Struct, frozen=True, kw_only=True):
    """A page of the caller's runs, newest first; ``next`` is the ``before`` of the next page."""

    success: Literal[True] = True
    runs: list[RunView]
    next: str | None


def chat_response(entries: Sequence[Entry]) -> tuple[int, ChatAnswer | TerminalFrame]:
    """Give the HTTP status and the body that an ended run is answered with."""
    summary = take_snapshot(entries)
    run = summary.run
    if isinstance(summary.ending, Failed):
        code = summary.ending.code
        message = error_text(code, summary.ending.text, run.locale)
        failure = RunFailed(BEGINNING, code, message, summary.elapsed(entries[-1].at))
        return http_status_for(code), failure_frame(failure)
    if not isinstance(summary.ending, Answered):
        raise TypeError(f"run {run.run_id} has not ended")
    return 200, ChatAnswer(
        data=summary.text,
        run_id=run.run_id,
        conversation_id=run.conversation_id,
        total_time=round(entries[-1].at - summary.accepted_at, 1),
        usage=summary.ending.usage,
        finish=finish_of(summary.ending),
    )


def run_view(entries: Sequence[Entry], now: float, events_url: str, *, is_left_working: bool = False) -> RunView:
    """Show a run at this moment; ``is_left_working`` says that it has ended, and its work has not."""
    summary = take_snapshot(entries)
    run, ending = summary.run, summary.ending
    failed = ending if isinstance(ending, Failed) else None
    return RunView(
        run_id=run.run_id,
        status=summary.status,
        username=run.username,
        conversation_id=run.conversation_id,
        created_at=isoformat(summary.accepted_at),
        started_at=None if summary.started_at is None else isoformat(summary.started_at),
        finished_at=None if summary.ended_at is None else isoformat(summary.ended_at),
        elapsed_time=round(summary.elapsed(now), 1),
        progress=summary.percent(now),
        data=summary.text if summary.text or isinstance(ending, Answered) else None,
        error=error_text(failed.code, failed.text, run.locale) if failed else None,
        code=failed.code if failed else None,
        usage=ending.usage if isinstance(ending, Answered) else None,
        events_url=events_url,
        finish=finish_of(ending) if isinstance(ending, Answered) else UNSET,
        still_running=True if is_left_working else UNSET,
    )

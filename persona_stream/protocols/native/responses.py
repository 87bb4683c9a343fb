"""Bodies that hold a whole run: the response of ``/api/chat``, and the view and the list of ``/api/runs``."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from persona_stream.core import facts, i18n, query
from persona_stream.core.snapshot import RunStatus, take_snapshot
from persona_stream.protocols.native import schemas


def isoformat(at: float) -> str:
    """Return a moment, in seconds since 1970, as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Success(Struct, frozen=True, kw_only=True):
    """Base of the bodies of successful responses."""

    success: Annotated[Literal[True], Meta(description="Always `true`.")] = True


class ChatAnswer(Success, frozen=True, kw_only=True):
    """Response of `POST /api/chat`."""

    data: Annotated[str, Meta(description="The whole answer.")]
    status: Annotated[Literal["complete"], Meta(description="Always `complete`.")] = "complete"
    is_complete: Annotated[Literal[True], Meta(description="Always `true`.")] = True
    run_id: Annotated[str, Meta(description="Run id.")]
    conversation_id: schemas.ConversationId
    total_time: Annotated[schemas.Seconds, Meta(description="Seconds from the request to the end of the run.")]
    usage: Annotated[query.Usage | None, Meta(description="Token counts, or `null` if unknown.")]
    finish: schemas.EarlyFinish = UNSET


class RunView(Success, frozen=True, kw_only=True):
    """State of a run. Values that are not known yet are `null`; timestamps are ISO 8601 in UTC."""

    run_id: Annotated[str, Meta(description="Run id.")]
    status: Annotated[RunStatus, Meta(description="State; `complete`, `error`, `timeout` and `cancelled` are final.")]
    username: Annotated[str, Meta(description="Persona that answers.")]
    conversation_id: schemas.ConversationId
    created_at: Annotated[str, Meta(description="Time at which the request was accepted.")]
    started_at: Annotated[str | None, Meta(description="Time at which the backend started.")]
    finished_at: Annotated[str | None, Meta(description="Time at which the run ended.")]
    elapsed_time: Annotated[schemas.Seconds, Meta(description="Seconds since the start; after the end, the duration.")]
    progress: Annotated[int, Meta(description="Percentage done.")]
    data: Annotated[str | None, Meta(description="Answer so far; `null` before its first character.")]
    error: Annotated[str | None, Meta(description="Error message to display.")]
    code: Annotated[str | None, Meta(description="Error code for programs.")]
    usage: Annotated[query.Usage | None, Meta(description="Token counts, if known.")]
    events_url: schemas.EventsUrl
    finish: schemas.EarlyFinish = UNSET
    still_running: Annotated[
        Literal[True] | UnsetType,
        Meta(description="`true` if the run has ended but its task could not be stopped; otherwise absent."),
    ] = UNSET


class RunList(Success, frozen=True, kw_only=True):
    """Page of the caller's runs, newest first."""

    runs: Annotated[list[RunView], Meta(description="Runs of this page.")]
    next: Annotated[str | None, Meta(description="Value of `before` for the next page; `null` on the last page.")]


def run_view(entries: Sequence[facts.Entry], now: float, events_url: str, *, is_still_running: bool = False) -> RunView:
    """Return the state of a run.

    Args:
        entries: Journal of the run.
        now: Current time, in seconds since 1970.
        events_url: URL of the run's stream.
        is_still_running: Whether the work of a run that has ended could not be stopped and goes on.
    """
    snapshot = take_snapshot(entries)
    run = snapshot.run
    answered = snapshot.ending if isinstance(snapshot.ending, facts.Answered) else None
    failed = snapshot.ending if isinstance(snapshot.ending, facts.Failed) else None
    return RunView(
        run_id=run.run_id,
        status=snapshot.status,
        username=run.username,
        conversation_id=run.conversation_id,
        created_at=isoformat(snapshot.accepted_at),
        started_at=None if snapshot.started_at is None else isoformat(snapshot.started_at),
        finished_at=None if snapshot.ended_at is None else isoformat(snapshot.ended_at),
        elapsed_time=round(snapshot.elapsed(now), 1),
        progress=snapshot.percent(now),
        data=snapshot.text if snapshot.text or answered else None,
        error=i18n.error_text(failed.code, failed.text, run.locale) if failed else None,
        code=failed.code if failed else None,
        usage=answered.usage if answered else None,
        events_url=events_url,
        finish=schemas.finish_of(answered) if answered else UNSET,
        still_running=True if is_still_running else UNSET,
    )

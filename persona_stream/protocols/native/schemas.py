"""Bodies of the native protocol: stream events, errors, and whole runs (``/api/chat``, ``/api/runs``).

The OpenAPI document is generated from these types.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from persona_stream.core import content, events, facts, i18n, query
from persona_stream.core.snapshot import RunSnapshot, RunStatus, take_snapshot

Percent = Annotated[float, Meta(ge=0, le=100)]
Seconds = Annotated[float, Meta(ge=0)]

# Fields that several bodies share.
ConversationId = Annotated[str, Meta(description="Conversation that the run belongs to.")]
ErrorMessage = Annotated[str, Meta(description="Error message to display.")]
EventsUrl = Annotated[
    str, Meta(description="URL of the run's event stream; its ticket authorizes this run only, so no header is needed.")
]
EarlyFinish = Annotated[
    query.Finish | UnsetType,
    Meta(description="Reason why the answer ends early: `length`, `tools`, `filter` or `refusal`; absent if complete."),
]
_IsIncomplete = Annotated[Literal[False], Meta(description="`false`: more events follow.")]
_IsLast = Annotated[Literal[True], Meta(description="`true` in the last event of the stream and in no other.")]
_StatusText = Annotated[str, Meta(description="Status text to display.")]
_SentPercent = Annotated[Percent | None, Meta(description="Percentage of the answer sent; `null` while unknown.")]
_TYPE = Meta(description="Type of the event.")


class _Frame(Struct, frozen=True, kw_only=True):
    success: Annotated[
        Literal[True], Meta(description="`false` only in an event that ends a run without a complete answer.")
    ] = True
    data: Annotated[
        str, Meta(description="Text of the answer in this event; all of them joined in order are the whole answer.")
    ] = ""


class OpeningFrame(_Frame, frozen=True, kw_only=True):
    """First event of a run: its id, its limits, and the URL to resume from."""

    status: Annotated[Literal["connecting", "initializing"], _TYPE]
    message: Annotated[str | UnsetType, Meta(description="Status text to display.")] = UNSET
    progress: Annotated[int | UnsetType, Meta(description="Percentage done.")] = UNSET
    run_id: Annotated[str, Meta(description="Run id, to resume the run when the connection breaks.")]
    conversation_id: ConversationId
    interval: Annotated[
        Seconds, Meta(description="Seconds between progress events; a much longer silence means a broken connection.")
    ]
    deadline: Annotated[Seconds, Meta(description="Seconds after which the run ends with `timeout`.")]
    resume_for: Annotated[Seconds, Meta(description="Seconds for which the run stays readable after its end.")]
    events_url: EventsUrl


IsCached = Annotated[
    Literal[True] | UnsetType, Meta(description="`true` if the answer is that of an earlier run; otherwise absent.")
]


class QueuedFrame(_Frame, frozen=True, kw_only=True):
    """The run is waiting in the queue for a free slot."""

    status: Annotated[Literal["queued"], _TYPE] = "queued"
    position: Annotated[int, Meta(ge=1, description="Position in the queue; the next run to start has 1.")]
    elapsed_time: Annotated[Seconds, Meta(description="Seconds spent in the queue so far.")]
    eta: Annotated[Seconds | UnsetType, Meta(description="Estimated seconds until the run starts, if known.")] = UNSET


class ProcessingFrame(_Frame, frozen=True, kw_only=True):
    """Progress of the backend."""

    status: Annotated[Literal["processing"], _TYPE] = "processing"
    message: _StatusText
    progress: Annotated[int, Meta(ge=0, le=100, description="Percentage done; never decreases.")]
    elapsed_time: Annotated[Seconds, Meta(description="Seconds since the run started.")]
    eta: Annotated[Seconds | UnsetType, Meta(description="Estimated seconds left, if progress is reported.")] = UNSET


InputId = Annotated[str, Meta(description="Id of the question, to answer it.")]
Choices = Annotated[list[str] | None, Meta(description="The allowed answers; `null` if any text is allowed.")]
ExpiresIn = Annotated[Seconds, Meta(description="Seconds for which the question stays open.")]


class InputRequiredFrame(_Frame, frozen=True, kw_only=True):
    """The backend asks the user, and waits. Answer with `POST /api/runs/{run_id}/input`; repeated until then."""

    status: Annotated[Literal["input_required"], _TYPE] = "input_required"
    input_id: InputId
    message: Annotated[str, Meta(description="Question to display.")]
    choices: Choices
    expires_in: ExpiresIn
    elapsed_time: Annotated[Seconds, Meta(description="Seconds since the run started.")]


class ProcessingCompleteFrame(_Frame, frozen=True, kw_only=True):
    """The backend has started to answer."""

    status: Annotated[Literal["processing_complete"], _TYPE] = "processing_complete"
    progress: Annotated[Literal[100], Meta(description="Always 100.")] = 100
    message: _StatusText
    total_processing_time: Annotated[Seconds, Meta(description="Seconds from the start of the run to its first text.")]


class ReasoningFrame(_Frame, frozen=True, kw_only=True):
    """Part of the model's reasoning, for requests with `reasoning` set."""

    status: Annotated[Literal["reasoning"], _TYPE] = "reasoning"
    reasoning: Annotated[str, Meta(description="Part of the reasoning; it does not belong to the answer.")]
    is_complete: _IsIncomplete = False


class ToolCallView(Struct, frozen=True, kw_only=True):
    """Tool call of an answer."""

    id: Annotated[str, Meta(description="Id of the call.")]
    name: Annotated[str, Meta(description="Name of the tool.")]
    arguments: Annotated[str, Meta(description="Arguments as JSON, as the model wrote them.")]


def tool_call_view(call: content.ToolCall) -> ToolCallView:
    """Return a tool call without the fields of its provider."""
    return ToolCallView(id=call.id, name=call.name, arguments=call.arguments)


def tool_calls_of(answered: facts.Answered) -> list[ToolCallView] | UnsetType:
    """Return the tool calls of an answer, or ``UNSET`` if it has none."""
    return [tool_call_view(call) for call in answered.calls] or UNSET


ToolCalls = Annotated[list[ToolCallView] | UnsetType, Meta(description="Tool calls of the answer, if it has any.")]


class ToolCallFrame(_Frame, frozen=True, kw_only=True):
    """Tool call of the answer. A resumed stream may repeat it: its `id` identifies it."""

    status: Annotated[Literal["tool_call"], _TYPE] = "tool_call"
    tool_call: Annotated[ToolCallView, Meta(description="The call.")]
    is_complete: _IsIncomplete = False


class _ChunkFrame(_Frame, frozen=True, kw_only=True):
    data: Annotated[str, Meta(min_length=1, description="Text of the chunk; all chunks in order are the whole answer.")]
    status: Annotated[Literal["streaming"], _TYPE] = "streaming"


class BasicChunkFrame(_ChunkFrame, frozen=True, kw_only=True):
    """Chunk of the answer, style basic."""

    progress: _SentPercent
    is_complete: _IsIncomplete = False
    total_length: Annotated[int | None, Meta(description="Characters of the whole answer; `null` while unknown.")]
    current_position: Annotated[int, Meta(description="Characters of the answer sent so far, including this chunk.")]


class AdvancedChunkFrame(_ChunkFrame, frozen=True, kw_only=True):
    """Chunk of the answer, style advanced."""

    chunk_number: Annotated[int, Meta(description="Number of the chunk, starting at 1.")]
    is_complete: _IsIncomplete = False


class SmartChunkFrame(_ChunkFrame, frozen=True, kw_only=True):
    """Chunk of the answer, style smart."""

    chunk_number: Annotated[int, Meta(description="Number of the chunk, starting at 1.")]
    streaming_progress: _SentPercent
    is_complete: _IsIncomplete = False


CHUNK_FRAMES: Mapping[str, type[Struct]] = {
    "basic": BasicChunkFrame,
    "advanced": AdvancedChunkFrame,
    "smart": SmartChunkFrame,
}
"""Frame that carries the answer, by style."""


class CompleteFrame(_Frame, frozen=True, kw_only=True):
    """Last event of a run that produced its answer."""

    status: Annotated[Literal["complete"], _TYPE] = "complete"
    is_complete: _IsLast = True
    total_time: Annotated[Seconds | UnsetType, Meta(description="Seconds from the request to the last chunk.")] = UNSET
    usage: Annotated[query.Usage | UnsetType, Meta(description="Token counts, if known.")] = UNSET
    finish: EarlyFinish = UNSET
    cached: IsCached = UNSET


def cached_of(answered: facts.Answered) -> Literal[True] | UnsetType:
    """Return ``True`` for a cached answer, or ``UNSET``."""
    return True if answered.cached else UNSET


def finish_of(answered: facts.Answered) -> query.Finish | UnsetType:
    """Return the reason why an answer ended early, or ``UNSET`` for a complete one."""
    return UNSET if answered.finish == "stop" else answered.finish


class _FailureFrame(Struct, frozen=True, kw_only=True):
    success: Annotated[Literal[False], Meta(description="Always `false`.")] = False
    error: ErrorMessage
    code: str
    status: str
    is_complete: _IsLast = True


class ErrorFrame(_FailureFrame, frozen=True, kw_only=True):
    """Last event of a failed run, and body of every error response."""

    code: Annotated[str, Meta(description="Error code for programs, such as `invalid_request` or `backend_error`.")]
    status: Annotated[Literal["error"], _TYPE] = "error"
    retry_after: Annotated[
        Seconds | UnsetType, Meta(description="Seconds to wait before another attempt, if the backend requires it.")
    ] = UNSET


class TimeoutFrame(_FailureFrame, frozen=True, kw_only=True):
    """Last event of a run that exceeded its deadline."""

    code: Annotated[Literal["timeout"], Meta(description="Error code for programs.")] = "timeout"
    status: Annotated[Literal["timeout"], _TYPE] = "timeout"
    elapsed_time: Annotated[Seconds, Meta(description="Duration of the run in seconds.")]


class CancelledFrame(_FailureFrame, frozen=True, kw_only=True):
    """Last event of a cancelled run."""

    code: Annotated[Literal["cancelled"], Meta(description="Error code for programs.")] = "cancelled"
    status: Annotated[Literal["cancelled"], _TYPE] = "cancelled"
    elapsed_time: Annotated[Seconds, Meta(description="Duration of the run in seconds.")]


TerminalFrame = CompleteFrame | ErrorFrame | TimeoutFrame | CancelledFrame
ProgressFrame = OpeningFrame | QueuedFrame | ProcessingFrame | InputRequiredFrame | ProcessingCompleteFrame
ChunkFrame = BasicChunkFrame | AdvancedChunkFrame | SmartChunkFrame
Frame = ProgressFrame | ReasoningFrame | ChunkFrame | ToolCallFrame | TerminalFrame


def failure_frame(event: events.RunFailed) -> TerminalFrame:
    """Return the body of a failed run, in streams and in JSON responses alike."""
    if event.code == "timeout":
        return TimeoutFrame(error=event.message, elapsed_time=round(event.elapsed, 1))
    if event.code == "cancelled":
        return CancelledFrame(error=event.message, elapsed_time=round(event.elapsed, 1))
    retry_after = UNSET if event.retry_after is None else event.retry_after
    return ErrorFrame(error=event.message, code=event.code, retry_after=retry_after)


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
    conversation_id: ConversationId
    total_time: Annotated[Seconds, Meta(description="Seconds from the request to the end of the run.")]
    usage: Annotated[query.Usage | None, Meta(description="Token counts, or `null` if unknown.")]
    finish: EarlyFinish = UNSET
    tool_calls: ToolCalls = UNSET
    cached: IsCached = UNSET


class ForecastView(Success, frozen=True, kw_only=True):
    """Expected duration of a run, in seconds until its answer begins; `null` while fewer than five runs have ended."""

    expected: Annotated[Seconds | None, Meta(description="Median.")]
    low: Annotated[Seconds | None, Meta(description="Start of the range in which 80 % of the runs are expected.")]
    high: Annotated[Seconds | None, Meta(description="End of that range.")]
    runs: Annotated[int, Meta(ge=0, description="Number of earlier runs that the forecast rests on, at most 200.")]


class InputView(Struct, frozen=True, kw_only=True):
    """Open question of the backend to the user."""

    input_id: InputId
    message: Annotated[str, Meta(description="Question to display.")]
    choices: Choices
    expires_in: ExpiresIn


class RunView(Success, frozen=True, kw_only=True):
    """State of a run. Values that are not known yet are `null`; timestamps are ISO 8601 in UTC."""

    run_id: Annotated[str, Meta(description="Run id.")]
    status: Annotated[RunStatus, Meta(description="State; `complete`, `error`, `timeout` and `cancelled` are final.")]
    username: Annotated[str, Meta(description="Persona that answers.")]
    conversation_id: ConversationId
    created_at: Annotated[str, Meta(description="Time at which the request was accepted.")]
    started_at: Annotated[str | None, Meta(description="Time at which the backend started.")]
    finished_at: Annotated[str | None, Meta(description="Time at which the run ended.")]
    elapsed_time: Annotated[Seconds, Meta(description="Seconds since the start; after the end, the duration.")]
    progress: Annotated[int, Meta(description="Percentage done.")]
    data: Annotated[str | None, Meta(description="Answer so far; `null` before its first character.")]
    error: Annotated[str | None, Meta(description="Error message to display.")]
    code: Annotated[str | None, Meta(description="Error code for programs.")]
    usage: Annotated[query.Usage | None, Meta(description="Token counts, if known.")]
    events_url: EventsUrl
    finish: EarlyFinish = UNSET
    tool_calls: ToolCalls = UNSET
    input: Annotated[
        InputView | UnsetType, Meta(description="Open question of a run whose status is `input_required`.")
    ] = UNSET
    still_running: Annotated[
        Literal[True] | UnsetType,
        Meta(description="`true` if the run has ended but its task could not be stopped; otherwise absent."),
    ] = UNSET


class RunList(Success, frozen=True, kw_only=True):
    """Page of the caller's runs, newest first."""

    runs: Annotated[list[RunView], Meta(description="Runs of this page.")]
    next: Annotated[str | None, Meta(description="Value of `before` for the next page; `null` on the last page.")]


def _input_view(snapshot: RunSnapshot, now: float) -> InputView | UnsetType:
    if snapshot.open_input is None:
        return UNSET
    request = snapshot.open_input[1]
    return InputView(
        input_id=request.input_id,
        message=request.question,
        choices=choices_of(request.choices),
        expires_in=round(snapshot.input_expires_in(now), 1),
    )


def choices_of(choices: Sequence[str] | None) -> list[str] | None:
    """Return the choices of a question as a list."""
    return None if choices is None else list(choices)


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
        finish=finish_of(answered) if answered else UNSET,
        tool_calls=tool_calls_of(answered) if answered else UNSET,
        input=_input_view(snapshot, now),
        still_running=True if is_still_running else UNSET,
    )

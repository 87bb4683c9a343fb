"""Stream events and error body of the native protocol.

The OpenAPI document is generated from these types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from persona_stream.core.facts import Answered
from persona_stream.core.query import Finish, Usage

Percent = Annotated[float, Meta(ge=0, le=100)]
Seconds = Annotated[float, Meta(ge=0)]


class _Frame(Struct, frozen=True, kw_only=True):
    success: Annotated[
        Literal[True], Meta(description="`false` only in an event that ends a run without a complete answer.")
    ] = True
    data: Annotated[
        str, Meta(description="Text of the answer in this event; all of them joined in order are the whole answer.")
    ] = ""


class OpeningFrame(_Frame, frozen=True, kw_only=True):
    """First event of a run: its id, its limits, and the URL to resume from."""

    status: Annotated[Literal["connecting", "initializing"], Meta(description="Type of the event.")]
    message: Annotated[str | UnsetType, Meta(description="Status text to display.")] = UNSET
    progress: Annotated[int | UnsetType, Meta(description="Percentage done.")] = UNSET
    run_id: Annotated[
        str, Meta(description="Run id. The run continues when the connection breaks and can be resumed by this id.")
    ]
    conversation_id: Annotated[str, Meta(description="Conversation that the run belongs to.")]
    interval: Annotated[
        Seconds,
        Meta(description="Seconds between two progress events; a much longer silence means a broken connection."),
    ]
    deadline: Annotated[
        Seconds, Meta(description="Maximum duration of the run in seconds; after it the run ends with `timeout`.")
    ]
    resume_for: Annotated[Seconds, Meta(description="Seconds for which the run stays readable after its end.")]
    events_url: Annotated[
        str,
        Meta(description="URL of the run's event stream; its ticket authorizes this run only, so no header is needed."),
    ]


class QueuedFrame(_Frame, frozen=True, kw_only=True):
    """The run is waiting in the queue for a free slot."""

    status: Annotated[Literal["queued"], Meta(description="Type of the event.")] = "queued"
    position: Annotated[int, Meta(ge=1, description="Position in the queue; the next run to start has 1.")]
    elapsed_time: Annotated[Seconds, Meta(description="Seconds spent in the queue so far.")]
    eta: Annotated[Seconds | UnsetType, Meta(description="Estimated seconds until the run starts, if known.")] = UNSET


class ProcessingFrame(_Frame, frozen=True, kw_only=True):
    """Progress of the backend."""

    status: Annotated[Literal["processing"], Meta(description="Type of the event.")] = "processing"
    message: Annotated[str, Meta(description="Status text to display.")]
    progress: Annotated[int, Meta(ge=0, le=100, description="Percentage done; never decreases.")]
    elapsed_time: Annotated[Seconds, Meta(description="Seconds since the run started.")]
    eta: Annotated[
        Seconds | UnsetType, Meta(description="Estimated seconds left, if the backend reports progress.")
    ] = UNSET


class ProcessingCompleteFrame(_Frame, frozen=True, kw_only=True):
    """The backend has started to answer."""

    status: Annotated[Literal["processing_complete"], Meta(description="Type of the event.")] = "processing_complete"
    progress: Annotated[Literal[100], Meta(description="Always 100.")] = 100
    message: Annotated[str, Meta(description="Status text to display.")]
    total_processing_time: Annotated[
        Seconds, Meta(description="Seconds from the start of the run to the first character of the answer.")
    ]


class ReasoningFrame(_Frame, frozen=True, kw_only=True):
    """Part of the model's reasoning, for requests with `reasoning` set."""

    status: Annotated[Literal["reasoning"], Meta(description="Type of the event.")] = "reasoning"
    reasoning: Annotated[str, Meta(description="Part of the reasoning; it does not belong to the answer.")]
    is_complete: Annotated[Literal[False], Meta(description="`false`: more events follow.")] = False


class BasicChunkFrame(_Frame, frozen=True, kw_only=True):
    """Chunk of the answer, style basic."""

    data: Annotated[
        str, Meta(min_length=1, description="Text of the chunk; all chunks joined in order are the whole answer.")
    ]
    status: Annotated[Literal["streaming"], Meta(description="Type of the event.")] = "streaming"
    progress: Annotated[
        Percent | None, Meta(description="Percentage of the answer sent, or `null` while its length is unknown.")
    ]
    is_complete: Annotated[Literal[False], Meta(description="`false`: more events follow.")] = False
    total_length: Annotated[
        int | None, Meta(description="Characters of the whole answer, or `null` while its length is unknown.")
    ]
    current_position: Annotated[int, Meta(description="Characters of the answer sent so far, including this chunk.")]


class AdvancedChunkFrame(_Frame, frozen=True, kw_only=True):
    """Chunk of the answer, style advanced."""

    data: Annotated[
        str, Meta(min_length=1, description="Text of the chunk; all chunks joined in order are the whole answer.")
    ]
    status: Annotated[Literal["streaming"], Meta(description="Type of the event.")] = "streaming"
    chunk_number: Annotated[int, Meta(description="Number of the chunk, starting at 1.")]
    is_complete: Annotated[Literal[False], Meta(description="`false`: more events follow.")] = False


class SmartChunkFrame(_Frame, frozen=True, kw_only=True):
    """Chunk of the answer, style smart."""

    data: Annotated[
        str, Meta(min_length=1, description="Text of the chunk; all chunks joined in order are the whole answer.")
    ]
    status: Annotated[Literal["streaming"], Meta(description="Type of the event.")] = "streaming"
    chunk_number: Annotated[int, Meta(description="Number of the chunk, starting at 1.")]
    streaming_progress: Annotated[
        Percent | None, Meta(description="Percentage of the answer sent, or `null` while its length is unknown.")
    ]
    is_complete: Annotated[Literal[False], Meta(description="`false`: more events follow.")] = False


CHUNK_FRAMES: Mapping[str, type[Struct]] = {
    "basic": BasicChunkFrame,
    "advanced": AdvancedChunkFrame,
    "smart": SmartChunkFrame,
}
"""Frame that carries the answer, by style."""


class CompleteFrame(_Frame, frozen=True, kw_only=True):
    """Last event of a run that produced its answer."""

    status: Annotated[Literal["complete"], Meta(description="Type of the event.")] = "complete"
    is_complete: Annotated[
        Literal[True], Meta(description="`true` in the last event of the stream and in no other.")
    ] = True
    total_time: Annotated[Seconds | UnsetType, Meta(description="Seconds from the request to the end of the run.")] = (
        UNSET
    )
    usage: Annotated[Usage | UnsetType, Meta(description="Token counts, if known.")] = UNSET
    finish: Annotated[
        Finish | UnsetType,
        Meta(description="Reason why the answer ends early: `length`, `tools` or `filter`; absent if it is complete."),
    ] = UNSET


def finish_of(answered: Answered) -> Finish | UnsetType:
    """Return the reason why an answer ended early, or ``UNSET`` for a complete one."""
    return UNSET if answered.finish == "stop" else answered.finish


class ErrorFrame(Struct, frozen=True, kw_only=True):
    """Last event of a failed run, and body of every error response."""

    success: Annotated[Literal[False], Meta(description="Always `false`.")] = False
    error: Annotated[str, Meta(description="Error message to display.")]
    code: Annotated[
        str, Meta(description="Error code for programs, such as `invalid_request`, `unauthorized` or `backend_error`.")
    ]
    status: Annotated[Literal["error"], Meta(description="Type of the event.")] = "error"
    is_complete: Annotated[
        Literal[True], Meta(description="`true` in the last event of the stream and in no other.")
    ] = True


class TimeoutFrame(Struct, frozen=True, kw_only=True):
    """Last event of a run that exceeded its deadline."""

    success: Annotated[Literal[False], Meta(description="Always `false`.")] = False
    error: Annotated[str, Meta(description="Error message to display.")]
    code: Annotated[Literal["timeout"], Meta(description="Error code for programs.")] = "timeout"
    status: Annotated[Literal["timeout"], Meta(description="Type of the event.")] = "timeout"
    is_complete: Annotated[
        Literal[True], Meta(description="`true` in the last event of the stream and in no other.")
    ] = True
    elapsed_time: Annotated[Seconds, Meta(description="Duration of the run in seconds.")]


class CancelledFrame(Struct, frozen=True, kw_only=True):
    """Last event of a cancelled run."""

    success: Annotated[Literal[False], Meta(description="Always `false`.")] = False
    error: Annotated[str, Meta(description="Error message to display.")]
    code: Annotated[Literal["cancelled"], Meta(description="Error code for programs.")] = "cancelled"
    status: Annotated[Literal["cancelled"], Meta(description="Type of the event.")] = "cancelled"
    is_complete: Annotated[
        Literal[True], Meta(description="`true` in the last event of the stream and in no other.")
    ] = True
    elapsed_time: Annotated[Seconds, Meta(description="Duration of the run in seconds.")]


TerminalFrame = CompleteFrame | ErrorFrame | TimeoutFrame | CancelledFrame
Frame = (
    OpeningFrame
    | QueuedFrame
    | ProcessingFrame
    | ProcessingCompleteFrame
    | ReasoningFrame
    | BasicChunkFrame
    | AdvancedChunkFrame
    | SmartChunkFrame
    | TerminalFrame
)

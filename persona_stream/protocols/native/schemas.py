"""The bodies of the native wire. What is encoded here is what ``/openapi.json`` describes."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from persona_stream.core.facts import Answered
from persona_stream.core.query import Finish, Usage

Percent = Annotated[float, Meta(ge=0, le=100)]
Seconds = Annotated[float, Meta(ge=0)]


class _Frame(Struct, frozen=True, kw_only=True):
    success: Literal[True] = True
    data: str = ""


class OpeningFrame(_Frame, frozen=True, kw_only=True):
    """The run exists; how often it will be heard of, how long it may take, and where it can be read again."""

    status: Literal["connecting", "initializing"]
    message: str | UnsetType = UNSET
    progress: int | UnsetType = UNSET
    run_id: str
    conversation_id: str
    interval: Seconds
    deadline: Seconds
    resume_for: Seconds
    events_url: str


class QueuedFrame(_Frame, frozen=True, kw_only=True):
    """The run waits for a place; ``position`` is 1 for the next one."""

    status: Literal["queued"] = "queued"
    position: Annotated[int, Meta(ge=1)]
    elapsed_time: Seconds
    eta: Seconds | UnsetType = UNSET


class ProcessingFrame(_Frame, frozen=True, kw_only=True):
    """The backend is at work."""

    status: Literal["processing"] = "processing"
    message: str
    progress: Annotated[int, Meta(ge=0, le=100)]
    elapsed_time: Seconds
    eta: Seconds | UnsetType = UNSET


class ProcessingCompleteFrame(_Frame, frozen=True, kw_only=True):
    """The answer begins."""

    status: Literal["processing_complete"] = "processing_complete"
    progress: Literal[100] = 100
    message: str
    total_processing_time: Seconds


class ReasoningFrame(_Frame, frozen=True, kw_only=True):
    """A part of what the model thought, for requests that asked for it."""

    status: Literal["reasoning"] = "reasoning"
    reasoning: str
    is_complete: Literal[False] = False


class BasicChunkFrame(_Frame, frozen=True, kw_only=True):
    """A part of the answer, in style basic."""

    data: Annotated[str, Meta(min_length=1)]
    status: Literal["streaming"] = "streaming"
    progress: Percent | None
    is_complete: Literal[False] = False
    total_length: int | None
    current_position: int


class AdvancedChunkFrame(_Frame, frozen=True, kw_only=True):
    """A part of the answer, in style advanced."""

    data: Annotated[str, Meta(min_length=1)]
    status: Literal["streaming"] = "streaming"
    chunk_number: int
    is_complete: Literal[False] = False


class SmartChunkFrame(_Frame, frozen=True, kw_only=True):
    """A part of the answer, in style smart."""

    data: Annotated[str, Meta(min_length=1)]
    status: Literal["streaming"] = "streaming"
    chunk_number: int
    streaming_progress: Percent | None
    is_complete: Literal[False] = False


class CompleteFrame(_Frame, frozen=True, kw_only=True):
    """There is no more of the answer. Nothing follows. ``finish`` is there when it is not simply whole."""

    status: Literal["complete"] = "complete"
    is_complete: Literal[True] = True
    total_time: Seconds | UnsetType = UNSET
    usage: Usage | UnsetType = UNSET
    finish: Finish | UnsetType = UNSET


def finish_of(answered: Answered) -> Finish | UnsetType:
    """Give why an answer ends, where that must be said: most are whole."""
    return UNSET if answered.finish == "stop" else answered.finish


class ErrorFrame(Struct, frozen=True, kw_only=True):
    """There is no answer, or no more of it. Nothing follows. It is also the body of every refusal."""

    success: Literal[False] = False
    error: str
    code: str
    status: Literal["error"] = "error"
    is_complete: Literal[True] = True


class TimeoutFrame(Struct, frozen=True, kw_only=True):
    """The deadline passed. Nothing follows."""

    success: Literal[False] = False
    error: str
    code: Literal["timeout"] = "timeout"
    status: Literal["timeout"] = "timeout"
    is_complete: Literal[True] = True
    elapsed_time: Seconds


class CancelledFrame(Struct, frozen=True, kw_only=True):
    """The run was cancelled. Nothing follows."""

    success: Literal[False] = False
    error: str
    code: Literal["cancelled"] = "cancelled"
    status: Literal["cancelled"] = "cancelled"
    is_complete: Literal[True] = True
    elapsed_time: Seconds


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

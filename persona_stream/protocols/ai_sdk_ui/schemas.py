"""Stream parts and messages of the AI SDK's UI message stream protocol.

The client's union of parts is strict: a part of another type, or without a required member, ends the stream with an
error ("Type validation failed"). Optional members are absent rather than null.

The OpenAPI document is generated from these types.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from persona_stream.core import query

FinishReason = Literal["stop", "length", "content-filter", "tool-calls", "error"]

FINISH_REASONS: Mapping[query.Finish, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tools": "tool-calls",
    "filter": "content-filter",
    "refusal": "content-filter",
}

_PartId = Annotated[str, Meta(description="Id of the part of the message.")]
_CallId = Annotated[str, Meta(description="Id of the call, to be sent back with its result.")]
_ToolName = Annotated[str, Meta(description="Name of the tool.")]


class _Part(Struct, frozen=True, kw_only=True, tag_field="type", rename="camel"):
    """Base of all parts: a JSON object with a type."""


class StartPart(_Part, frozen=True, kw_only=True, tag="start"):
    """Start of the message; the first part."""

    message_id: Annotated[
        str, Meta(description="Id of the message: `msg_` and the run id, or that of a continued one.")
    ]


class StartStepPart(_Part, frozen=True, kw_only=True, tag="start-step"):
    """Start of the only step of this response."""


class TextStartPart(_Part, frozen=True, kw_only=True, tag="text-start"):
    """Start of the text."""

    id: _PartId


class TextDeltaPart(_Part, frozen=True, kw_only=True, tag="text-delta"):
    """Part of the text; all of them joined in order are the whole answer."""

    id: _PartId
    delta: Annotated[str, Meta(min_length=1, description="Text to append.")]


class TextEndPart(_Part, frozen=True, kw_only=True, tag="text-end"):
    """End of the text."""

    id: _PartId


class ReasoningStartPart(_Part, frozen=True, kw_only=True, tag="reasoning-start"):
    """Start of the reasoning."""

    id: _PartId


class ReasoningDeltaPart(_Part, frozen=True, kw_only=True, tag="reasoning-delta"):
    """Part of the reasoning."""

    id: _PartId
    delta: Annotated[str, Meta(min_length=1, description="Text to append.")]


class ReasoningEndPart(_Part, frozen=True, kw_only=True, tag="reasoning-end"):
    """End of the reasoning."""

    id: _PartId


class ProgressData(Struct, frozen=True, kw_only=True):
    """Progress of the run. Times are in seconds."""

    message: Annotated[str, Meta(description="Status text to display.")]
    percent: Annotated[int, Meta(ge=0, le=100, description="Percentage; never falls, 0 in the queue, 100 when done.")]
    elapsed: Annotated[float, Meta(ge=0, description="Time since the start of the run, or in the queue.")]
    eta: Annotated[float | UnsetType, Meta(description="Estimated remaining time; absent while unknown.")] = UNSET


class ProgressPart(_Part, frozen=True, kw_only=True, tag="data-progress"):
    """Progress, which `onData` of `useChat` receives, and which does not become part of the message."""

    id: Annotated[Literal["progress"], Meta(description="Always `progress`.")] = "progress"
    data: Annotated[ProgressData, Meta(description="The progress.")]
    transient: Annotated[Literal[True], Meta(description="Always `true`.")] = True


class ToolInputPart(_Part, frozen=True, kw_only=True, tag="tool-input-available"):
    """Complete call of one of the client's tools."""

    tool_call_id: _CallId
    tool_name: _ToolName
    input: Annotated[Any, Meta(description="Arguments.")]


class ToolInputErrorPart(_Part, frozen=True, kw_only=True, tag="tool-input-error"):
    """Call of a tool with arguments that are not JSON."""

    tool_call_id: _CallId
    tool_name: _ToolName
    input: Annotated[str, Meta(description="Arguments as the model wrote them.")]
    error_text: Annotated[str, Meta(description="Error message.")]


class ErrorPart(_Part, frozen=True, kw_only=True, tag="error"):
    """Failure of the run."""

    error_text: Annotated[str, Meta(description="Error message to display.")]


class AbortPart(_Part, frozen=True, kw_only=True, tag="abort"):
    """Cancellation of the run."""

    reason: Annotated[str, Meta(description="Reason to display.")]


class FinishStepPart(_Part, frozen=True, kw_only=True, tag="finish-step"):
    """End of the step."""


class FinishPart(_Part, frozen=True, kw_only=True, tag="finish"):
    """End of the message; the last part."""

    finish_reason: Annotated[FinishReason, Meta(description="Reason why the answer ended.")]


StreamPart = (
    StartPart
    | StartStepPart
    | TextStartPart
    | TextDeltaPart
    | TextEndPart
    | ReasoningStartPart
    | ReasoningDeltaPart
    | ReasoningEndPart
    | ProgressPart
    | ToolInputPart
    | ToolInputErrorPart
    | ErrorPart
    | AbortPart
    | FinishStepPart
    | FinishPart
)


class UIMessage(Struct, frozen=True, kw_only=True):
    """Whole message of the assistant."""

    id: Annotated[str, Meta(description="Id of the message.")]
    role: Annotated[Literal["assistant"], Meta(description="Always `assistant`.")] = "assistant"
    parts: Annotated[list[dict[str, Any]], Meta(description="Reasoning, text and tool calls, each with a `type`.")]


class UIError(Struct, frozen=True, kw_only=True):
    """Body of an error response. In the client, its text is the message of the error."""

    error: Annotated[str, Meta(description="Error message to display.")]
    code: Annotated[str, Meta(description="Error code for programs.")]

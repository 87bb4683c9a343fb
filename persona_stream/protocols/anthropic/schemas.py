"""Response bodies, stream events and errors of Anthropic's Messages API.

The OpenAPI document is generated from these types.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from persona_stream.core import facts, query
from persona_stream.errors import UnsupportedThread
from persona_stream.protocols.base import ErrorInfo, http_status_for

StopReason = Literal[
    "end_turn", "max_tokens", "tool_use", "refusal", "stop_sequence", "pause_turn", "model_context_window_exceeded"
]
ErrorType = Literal[
    "invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error",
    "request_too_large", "rate_limit_error", "api_error", "overloaded_error", "timeout_error",
]  # fmt: skip

# The other stop reasons are passed on from a provider of the same protocol.
STOP_REASONS: Mapping[query.Finish, StopReason] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tools": "tool_use",
    "filter": "refusal",
    "refusal": "refusal",
}

BlockIndex = Annotated[int, Meta(description="Index of the block, starting at 0.")]
StopSequence = Annotated[
    str | None, Meta(description="Stop sequence that ended the answer, if the provider reports it.")
]
_Epoch = Literal["1970-01-01T00:00:00Z"]


class TextBlock(Struct, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Text of the answer; all text blocks joined in order are the whole answer."""

    text: Annotated[str, Meta(description="Text.")]


class ThinkingBlock(Struct, frozen=True, kw_only=True, tag_field="type", tag="thinking"):
    """Reasoning of the model."""

    thinking: Annotated[str, Meta(description="Text of the reasoning.")]
    signature: Annotated[str, Meta(description="Signature of this server, with what the provider requires back.")]


class ToolUseBlock(Struct, frozen=True, kw_only=True, tag_field="type", tag="tool_use"):
    """Call of one of the client's tools."""

    id: Annotated[str, Meta(description="Id of the call, to be sent back with its result.")]
    name: Annotated[str, Meta(description="Name of the tool.")]
    input: Annotated[
        dict[str, Any],
        Meta(description="Arguments; a value that is not a JSON object is passed as text in `arguments`."),
    ]


Block = TextBlock | ThinkingBlock | ToolUseBlock


class MessageUsage(Struct, frozen=True, kw_only=True):
    """Token counts of a message; estimated if the backend reports none."""

    input_tokens: Annotated[int, Meta(description="Tokens of the prompt, including the history and instructions.")]
    output_tokens: Annotated[int, Meta(description="Tokens of the answer.")]


class Message(Struct, frozen=True, kw_only=True):
    """Answer as content blocks; empty at the beginning of a stream."""

    id: Annotated[str, Meta(description="Run id, prefixed with `msg_`.")]
    type: Annotated[Literal["message"], Meta(description="Always `message`.")] = "message"
    role: Annotated[Literal["assistant"], Meta(description="Always `assistant`.")] = "assistant"
    model: Annotated[str, Meta(description="Name of the persona.")]
    content: Annotated[
        list[Block],
        Meta(description="Content blocks: reasoning, text, tool calls, and blocks specific to the provider."),
    ]
    stop_reason: Annotated[
        StopReason | None, Meta(description="Reason why the answer ended; `null` at the beginning of a stream.")
    ] = None
    stop_sequence: StopSequence = None
    usage: Annotated[MessageUsage, Meta(description="Token counts.")]


class TextDelta(Struct, frozen=True, kw_only=True, tag_field="type", tag="text_delta"):
    """Addition to a text block."""

    text: Annotated[str, Meta(description="Text to append.")]


class ThinkingDelta(Struct, frozen=True, kw_only=True, tag_field="type", tag="thinking_delta"):
    """Addition to a thinking block."""

    thinking: Annotated[str, Meta(description="Reasoning to append.")]


class SignatureDelta(Struct, frozen=True, kw_only=True, tag_field="type", tag="signature_delta"):
    """Signature at the end of a thinking block."""

    signature: Annotated[str, Meta(description="Signature of this server; providers do not accept it.")]


class InputJsonDelta(Struct, frozen=True, kw_only=True, tag_field="type", tag="input_json_delta"):
    """Complete arguments of a tool call."""

    partial_json: Annotated[str, Meta(description="Arguments as JSON text.")]


BlockDelta = TextDelta | ThinkingDelta | SignatureDelta | InputJsonDelta


class MessageStart(Struct, frozen=True, kw_only=True, tag_field="type", tag="message_start"):
    """First event: the message, still empty."""

    message: Annotated[Message, Meta(description="Message without content blocks.")]


class Ping(Struct, frozen=True, kw_only=True, tag_field="type", tag="ping"):
    """Heartbeat while the backend is working."""


class ContentBlockStart(Struct, frozen=True, kw_only=True, tag_field="type", tag="content_block_start"):
    """Start of a content block."""

    index: BlockIndex
    content_block: Annotated[Block, Meta(description="Block, still empty; blocks specific to a provider are complete.")]


class ContentBlockDelta(Struct, frozen=True, kw_only=True, tag_field="type", tag="content_block_delta"):
    """Addition to the current content block."""

    index: BlockIndex
    delta: Annotated[BlockDelta, Meta(description="Addition to the block.")]


class ContentBlockStop(Struct, frozen=True, kw_only=True, tag_field="type", tag="content_block_stop"):
    """End of the current content block."""

    index: BlockIndex


class MessageEnd(Struct, frozen=True, kw_only=True):
    """Reason why the message ended."""

    stop_reason: Annotated[StopReason, Meta(description="Reason why the answer ended.")]
    stop_sequence: StopSequence = None


class MessageDelta(Struct, frozen=True, kw_only=True, tag_field="type", tag="message_delta"):
    """End of the answer, after the last content block."""

    delta: Annotated[MessageEnd, Meta(description="Reason why the message ended.")]
    usage: Annotated[MessageUsage, Meta(description="Token counts of the whole message.")]


class MessageStop(Struct, frozen=True, kw_only=True, tag_field="type", tag="message_stop"):
    """Last event of a complete message."""


class MessageErrorDetails(Struct, frozen=True, kw_only=True):
    """Details by which the SDKs choose another form of the request."""

    error_code: Annotated[str, Meta(description="`thread_unsupported_request`.")]
    unsupported: Annotated[list[str], Meta(description="Fields that are not supported.")]


class MessageErrorObject(Struct, frozen=True, kw_only=True):
    """Details of an error."""

    type: Annotated[ErrorType, Meta(description="Kind of the error.")]
    message: Annotated[str, Meta(description="Error message to display.")]
    details: Annotated[MessageErrorDetails | UnsetType, Meta(description="Only for a request with a `thread`.")] = UNSET


class MessageError(Struct, frozen=True, kw_only=True, tag_field="type", tag="error"):
    """Body of an error response, and last event of a failed stream."""

    error: Annotated[MessageErrorObject, Meta(description="Details of the error.")]


BlockEvent = ContentBlockStart | ContentBlockDelta | ContentBlockStop
MessageEvent = MessageStart | Ping | BlockEvent | MessageDelta | MessageStop | MessageError


class TokenCount(Struct, frozen=True, kw_only=True):
    """Token count of a request."""

    input_tokens: Annotated[int, Meta(description="Tokens of the prompt, including the history and instructions.")]


class ModelInfo(Struct, frozen=True, kw_only=True):
    """Available model, which is a persona."""

    type: Annotated[Literal["model"], Meta(description="Always `model`.")] = "model"
    id: Annotated[str, Meta(description="Value to send as `model`.")]
    display_name: Annotated[str, Meta(description="Display name.")]
    created_at: Annotated[_Epoch, Meta(description="Always the beginning of Unix time.")] = "1970-01-01T00:00:00Z"
    lifecycle: Annotated[Literal["active"], Meta(description="Always `active`.")] = "active"


class ModelInfoList(Struct, frozen=True, kw_only=True):
    """List of all models on one page; never empty."""

    data: Annotated[list[ModelInfo], Meta(description="The models.")]
    has_more: Annotated[Literal[False], Meta(description="Always `false`: there is one page.")] = False
    first_id: Annotated[str, Meta(description="Id of the first model.")]
    last_id: Annotated[str, Meta(description="Id of the last model.")]


_TYPES: Mapping[int, ErrorType] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    # Anthropic sends 529, which is not a standard status; its clients go by the type and retry after both.
    503: "overloaded_error",
    504: "timeout_error",
}


def error_body(error: ErrorInfo) -> MessageError:
    """Return the body of an error response."""
    default: ErrorType = "invalid_request_error" if error.status < 500 else "api_error"
    body = _error(_TYPES.get(error.status, default), error.message)
    if error.code != UnsupportedThread.code:
        return body
    details = MessageErrorDetails(error_code=error.code, unsupported=[error.field or ""])
    return structs.replace(body, error=structs.replace(body.error, details=details))


def failure_body(code: facts.FailureCode, message: str) -> MessageError:
    """Return the body for a failed run. Its type blames the request only where the backend did."""
    status = http_status_for(code)
    default: ErrorType = "invalid_request_error" if status == HTTPStatus.BAD_REQUEST else "api_error"
    words = _FAILURE_WORDS.get(code, "")
    return _error(_TYPES.get(status, default), message if words in message else f"{words}: {message}")


# There are no codes in this protocol: its clients recognize these failures by words, in any language of the rest.
_FAILURE_WORDS: Mapping[str, str] = {
    "context_length_exceeded": "prompt is too long",
    "content_filter": "Output blocked by content filtering policy",
}


def _error(kind: ErrorType, message: str) -> MessageError:
    return MessageError(error=MessageErrorObject(type=kind, message=message))

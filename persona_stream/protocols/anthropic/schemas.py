"""The bodies of Anthropic's wire. What is encoded here is what ``/openapi.json`` describes.

Errors as Anthropic's clients read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from persona_stream.core.facts import FailureCode
from persona_stream.core.query import Finish
from persona_stream.protocols.base import ErrorInfo, http_status_for

StopReason = Literal[
    "end_turn", "max_tokens", "tool_use", "refusal", "stop_sequence", "pause_turn", "model_context_window_exceeded"
]
ErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "overloaded_error",
    "timeout_error",
]

# The others are a provider's own words, and are said when it said them.
STOP_REASONS: Mapping[Finish, StopReason] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tools": "tool_use",
    "filter": "refusal",
}


class TextBlock(Struct, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """A part of the answer. Joined in order, the texts are the answer."""

    text: str


class ThinkingBlock(Struct, frozen=True, kw_only=True, tag_field="type", tag="thinking"):
    """What the model thought. ``signature`` is ours, and worth nothing to a provider."""

    thinking: str
    signature: str


class ToolUseBlock(Struct, frozen=True, kw_only=True, tag_field="type", tag="tool_use"):
    """A call of one of the client's tools."""

    id: str
    name: str
    input: dict[str, Any]


Block = TextBlock | ThinkingBlock | ToolUseBlock


class MessageUsage(Struct, frozen=True, kw_only=True):
    """The tokens of a message."""

    input_tokens: int
    output_tokens: int


class Message(Struct, frozen=True, kw_only=True):
    """The answer, in blocks; at the beginning of a stream, without any."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[Block]
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    usage: MessageUsage


class TextDelta(Struct, frozen=True, kw_only=True, tag_field="type", tag="text_delta"):
    """What a text goes on with."""

    text: str


class ThinkingDelta(Struct, frozen=True, kw_only=True, tag_field="type", tag="thinking_delta"):
    """What the thoughts go on with."""

    thinking: str


class SignatureDelta(Struct, frozen=True, kw_only=True, tag_field="type", tag="signature_delta"):
    """The end of the thoughts."""

    signature: str


class InputJsonDelta(Struct, frozen=True, kw_only=True, tag_field="type", tag="input_json_delta"):
    """The arguments of a call, as JSON: all of them."""

    partial_json: str


BlockDelta = TextDelta | ThinkingDelta | SignatureDelta | InputJsonDelta


class MessageStart(Struct, frozen=True, kw_only=True, tag_field="type", tag="message_start"):
    """The message begins. Always the first event."""

    message: Message


class Ping(Struct, frozen=True, kw_only=True, tag_field="type", tag="ping"):
    """The backend is at work."""


class ContentBlockStart(Struct, frozen=True, kw_only=True, tag_field="type", tag="content_block_start"):
    """A block begins; it is empty, or of a kind that a provider sends whole."""

    index: int
    content_block: Block


class ContentBlockDelta(Struct, frozen=True, kw_only=True, tag_field="type", tag="content_block_delta"):
    """The open block goes on."""

    index: int
    delta: BlockDelta


class ContentBlockStop(Struct, frozen=True, kw_only=True, tag_field="type", tag="content_block_stop"):
    """The open block ends."""

    index: int


class MessageEnd(Struct, frozen=True, kw_only=True):
    """Why the message ends."""

    stop_reason: StopReason
    stop_sequence: str | None = None


class MessageDelta(Struct, frozen=True, kw_only=True, tag_field="type", tag="message_delta"):
    """All blocks were there. The tokens are those of the whole message."""

    delta: MessageEnd
    usage: MessageUsage


class MessageStop(Struct, frozen=True, kw_only=True, tag_field="type", tag="message_stop"):
    """The message is whole. Nothing follows."""


class MessageErrorObject(Struct, frozen=True, kw_only=True):
    """What is wrong."""

    type: ErrorType
    message: str


class MessageError(Struct, frozen=True, kw_only=True, tag_field="type", tag="error"):
    """There is no message, or no more of it. Nothing follows. It is also the body of every refusal."""

    error: MessageErrorObject


MessageEvent = (
    MessageStart
    | Ping
    | ContentBlockStart
    | ContentBlockDelta
    | ContentBlockStop
    | MessageDelta
    | MessageStop
    | MessageError
)


class TokenCount(Struct, frozen=True, kw_only=True):
    """How many tokens a request has."""

    input_tokens: int


class ModelInfo(Struct, frozen=True, kw_only=True):
    """A model that can be asked for: a persona."""

    type: Literal["model"] = "model"
    id: str
    display_name: str
    created_at: Literal["1970-01-01T00:00:00Z"] = "1970-01-01T00:00:00Z"
    lifecycle: Literal["active"] = "active"


class ModelInfoList(Struct, frozen=True, kw_only=True):
    """Every model, on one page; never none."""

    data: list[ModelInfo]
    has_more: Literal[False] = False
    first_id: str
    last_id: str


_TYPES: Mapping[int, ErrorType] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    # Theirs comes with 529, which is no status of HTTP's. Their clients read the type, and try again after both.
    503: "overloaded_error",
    504: "timeout_error",
}


def error_body(refused: ErrorInfo) -> MessageError:
    """Give a refusal its form."""
    others: ErrorType = "invalid_request_error" if refused.status < 500 else "api_error"
    return _error(_TYPES.get(refused.status, others), refused.message)


def failure_body(code: FailureCode, message: str) -> MessageError:
    """Give the ending of a run without an answer its form. None of them is the request's fault."""
    return _error(_TYPES.get(http_status_for(code), "api_error"), message)


def _error(kind: ErrorType, message: str) -> MessageError:
    return MessageError(error=MessageErrorObject(type=kind, message=message))

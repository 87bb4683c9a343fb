"""The bodies of OpenAI's chat wire. What is encoded here is what ``/openapi.json`` describes.

Errors as OpenAI's clients read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from persona_stream.core.content import ToolCall
from persona_stream.core.facts import FailureCode
from persona_stream.core.query import Finish
from persona_stream.protocols.base import ErrorInfo

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]

FINISH_REASONS: Mapping[Finish, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tools": "tool_calls",
    "filter": "content_filter",
}


class CalledFunction(Struct, frozen=True, kw_only=True):
    """The function to call. ``arguments`` is JSON, as the model wrote it."""

    name: str
    arguments: str


class FunctionCall(Struct, frozen=True, kw_only=True):
    """A call of one of the client's tools, whole."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class FunctionCallDelta(FunctionCall, frozen=True, kw_only=True):
    """The same in a stream, with its place among the calls."""

    index: int


def function_call(call: ToolCall) -> FunctionCall:
    """Give a call its form."""
    return FunctionCall(id=call.id, function=CalledFunction(name=call.name, arguments=call.arguments))


def function_call_delta(index: int, call: ToolCall) -> FunctionCallDelta:
    """Give a call its form in a stream."""
    function = CalledFunction(name=call.name, arguments=call.arguments)
    return FunctionCallDelta(index=index, id=call.id, function=function)


class ChatDelta(Struct, frozen=True, kw_only=True):
    """What a chunk adds to the message; nothing, when it only tells that the run lives."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[FunctionCallDelta] | UnsetType = UNSET


class ChunkChoice(Struct, frozen=True, kw_only=True):
    """The one choice of a chunk."""

    index: Literal[0] = 0
    delta: ChatDelta
    logprobs: None = None
    finish_reason: FinishReason | None = None


class CompletionUsage(Struct, frozen=True, kw_only=True):
    """The tokens of a completion."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletionChunk(Struct, frozen=True, kw_only=True):
    """A part of a completion."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: None = None
    choices: list[ChunkChoice]
    usage: CompletionUsage | UnsetType | None = UNSET


class ChatMessage(Struct, frozen=True, kw_only=True):
    """The whole answer. ``content`` is null where there are only calls of tools."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[FunctionCall] | UnsetType = UNSET


class ChatChoice(Struct, frozen=True, kw_only=True):
    """The one choice of a completion."""

    index: Literal[0] = 0
    message: ChatMessage
    logprobs: None = None
    finish_reason: FinishReason


class ChatCompletion(Struct, frozen=True, kw_only=True):
    """A completion, answered at once."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: CompletionUsage
    system_fingerprint: None = None


class ErrorObject(Struct, frozen=True, kw_only=True):
    """What is wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None


class ErrorBody(Struct, frozen=True, kw_only=True):
    """There is no completion, or no more of it."""

    error: ErrorObject


class Model(Struct, frozen=True, kw_only=True):
    """A model that can be asked for: a persona."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "persona_stream"


class ModelList(Struct, frozen=True, kw_only=True):
    """Every model; never none."""

    object: Literal["list"] = "list"
    data: list[Model]


SERVER_ERROR = "server_error"
_INVALID = "invalid_request_error"

_TYPES: Mapping[int, str] = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES: Mapping[str, str] = {"unauthorized": "invalid_api_key"}


def error_body(refused: ErrorInfo) -> ErrorBody:
    """Give a refusal its form."""
    kind = _TYPES.get(refused.status, _INVALID if refused.status < 500 else SERVER_ERROR)
    code = _CODES.get(refused.code, refused.code)
    return ErrorBody(error=ErrorObject(message=refused.message, type=kind, param=refused.field, code=code))


def failure_body(code: FailureCode, message: str) -> ErrorBody:
    """Give the ending of a run without an answer its form."""
    return ErrorBody(error=ErrorObject(message=message, type=SERVER_ERROR, code=code))

"""Response bodies, stream chunks and errors of OpenAI's Chat Completions API.

The OpenAPI document is generated from these types.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from persona_stream.core import facts, query
from persona_stream.core.content import ToolCall, fields_for
from persona_stream.protocols.base import ErrorInfo, http_status_for, merge_fields

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]

FINISH_REASONS: Mapping[query.Finish, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tools": "tool_calls",
    "filter": "content_filter",
    "refusal": "stop",
}


class CalledFunction(Struct, frozen=True, kw_only=True):
    """Function to call."""

    name: Annotated[str, Meta(description="Name of the tool.")]
    arguments: Annotated[str, Meta(description="Arguments as JSON text, exactly as the model wrote them.")]


class FunctionCall(Struct, frozen=True, kw_only=True):
    """Complete call of one of the client's tools."""

    id: Annotated[str, Meta(description="Id of the call, to be sent back with its result.")]
    type: Annotated[Literal["function"], Meta(description="Always `function`.")] = "function"
    function: Annotated[CalledFunction, Meta(description="Function to call.")]


class FunctionCallDelta(FunctionCall, frozen=True, kw_only=True):
    """Complete tool call in a stream."""

    index: Annotated[int, Meta(description="Index of the call in the answer.")]


def function_call(call: ToolCall) -> Any:
    """Return a ``FunctionCall`` of a whole answer, with the fields that a provider of this protocol added."""
    return _with_extras(FunctionCall(id=call.id, function=_function(call)), call)


def function_call_delta(index: int, call: ToolCall) -> Any:
    """Return a ``FunctionCallDelta`` of a stream, with the same fields."""
    return _with_extras(FunctionCallDelta(index=index, id=call.id, function=_function(call)), call)


def _function(call: ToolCall) -> CalledFunction:
    return CalledFunction(name=call.name, arguments=call.arguments)


def _with_extras(body: FunctionCall, call: ToolCall) -> Any:
    fields = dict(fields_for(call.extras, "openai"))
    inner = fields.pop("function", None)
    merged = merge_fields(body, fields)
    if isinstance(inner, Mapping):
        function = merge_fields(body.function, inner)
        return {**msgspec.to_builtins(merged), "function": function}
    return merged


class ChatDelta(Struct, frozen=True, kw_only=True):
    """Addition of a chunk to the message; empty in a heartbeat."""

    role: Annotated[Literal["assistant"] | UnsetType, Meta(description="`assistant`; in the first chunk only.")] = UNSET
    content: Annotated[
        str | UnsetType, Meta(description="Text of the answer; all of them joined in order are the whole answer.")
    ] = UNSET
    refusal: Annotated[str | UnsetType, Meta(description="Part of the model's refusal, in place of `content`.")] = UNSET
    reasoning_content: Annotated[str | UnsetType, Meta(description="Part of the model's reasoning.")] = UNSET
    tool_calls: Annotated[list[FunctionCallDelta] | UnsetType, Meta(description="Tool calls, each sent whole.")] = UNSET


class ChunkChoice(Struct, frozen=True, kw_only=True):
    """The only choice of a chunk."""

    index: Annotated[int, Meta(ge=0, description="Index of the choice; 0 unless the request has `n`.")] = 0
    delta: Annotated[ChatDelta, Meta(description="Addition to the message.")]
    logprobs: Annotated[
        dict[str, Any] | None, Meta(description="Log probabilities of the whole answer, in its last chunk; or `null`.")
    ] = None
    finish_reason: Annotated[FinishReason | None, Meta(description="Reason why the answer ended, or `null`.")] = None


class CompletionTokensDetails(Struct, frozen=True, kw_only=True):
    """Kinds of tokens in an answer."""

    reasoning_tokens: Annotated[int, Meta(description="Tokens of the reasoning.")]


class CompletionUsage(Struct, frozen=True, kw_only=True):
    """Token counts of a completion; estimated if the backend reports none."""

    prompt_tokens: Annotated[int, Meta(description="Tokens of the prompt, including the history and instructions.")]
    completion_tokens: Annotated[int, Meta(description="Tokens of the answer.")]
    total_tokens: Annotated[int, Meta(description="Sum of both.")]
    completion_tokens_details: Annotated[
        CompletionTokensDetails | UnsetType, Meta(description="Kinds of the answer's tokens, if known.")
    ] = UNSET


class StatusData(Struct, frozen=True, kw_only=True):
    """Content of a status."""

    description: Annotated[str, Meta(description="Status text with the percentage.")]
    done: Annotated[bool, Meta(description="Whether this is the last status, before the answer or an error.")]


class StatusEvent(Struct, frozen=True, kw_only=True):
    """Status in the form of Open WebUI, which displays it above the answer."""

    type: Annotated[Literal["status"], Meta(description="Always `status`.")] = "status"
    data: Annotated[StatusData, Meta(description="The status.")]


class PromptProgress(Struct, frozen=True, kw_only=True):
    """Progress in the form of llama.cpp; `processed` of `total` is the percentage."""

    total: Annotated[int, Meta(description="Always 100.")] = 100
    cache: Annotated[int, Meta(description="Always 0.")] = 0
    processed: Annotated[int, Meta(ge=0, le=100, description="Percentage.")]
    time_ms: Annotated[int, Meta(ge=0, description="Milliseconds since the start of the run.")]


class ChatCompletionChunk(Struct, frozen=True, kw_only=True):
    """Chunk of a streamed completion."""

    id: Annotated[str, Meta(description="Run id, prefixed with `chatcmpl-`.")]
    object: Annotated[Literal["chat.completion.chunk"], Meta(description="Always `chat.completion.chunk`.")] = (
        "chat.completion.chunk"
    )
    created: Annotated[int, Meta(description="Unix time at which the request was accepted.")]
    model: Annotated[str, Meta(description="Name of the persona.")]
    system_fingerprint: Annotated[None, Meta(description="Always `null`.")] = None
    choices: Annotated[list[ChunkChoice], Meta(description="The only choice; empty in the chunk with the usage.")]
    usage: Annotated[
        CompletionUsage | UnsetType | None,
        Meta(description="Token counts in the last chunk, `null` in all others; only with `include_usage`."),
    ] = UNSET
    event: Annotated[
        StatusEvent | UnsetType, Meta(description="Status, in heartbeats if `X-Persona-Heartbeat` is `status`.")
    ] = UNSET
    prompt_progress: Annotated[
        PromptProgress | UnsetType, Meta(description="Progress, in heartbeats if the request has `return_progress`.")
    ] = UNSET


class ChatMessage(Struct, frozen=True, kw_only=True):
    """Message with the whole answer."""

    role: Annotated[Literal["assistant"], Meta(description="Always `assistant`.")] = "assistant"
    content: Annotated[str | None, Meta(description="The whole answer; `null` if it consists of tool calls only.")]
    refusal: Annotated[str | None, Meta(description="The model's refusal, in place of `content`; or `null`.")] = None
    reasoning_content: Annotated[str | UnsetType, Meta(description="Reasoning of the model.")] = UNSET
    tool_calls: Annotated[list[FunctionCall] | UnsetType, Meta(description="Tools for the client to call.")] = UNSET


class ChatChoice(Struct, frozen=True, kw_only=True):
    """Choice of a completion."""

    index: Annotated[int, Meta(ge=0, description="Index of the choice; 0 unless the request has `n`.")] = 0
    message: Annotated[ChatMessage, Meta(description="The answer.")]
    logprobs: Annotated[
        dict[str, Any] | None, Meta(description="Log probabilities, if the request and the backend have them.")
    ] = None
    finish_reason: Annotated[
        FinishReason, Meta(description="Reason why the answer ended: `stop` if complete, `length` if cut off.")
    ]


class ChatCompletion(Struct, frozen=True, kw_only=True):
    """Completion in one response."""

    id: Annotated[str, Meta(description="Run id, prefixed with `chatcmpl-`.")]
    object: Annotated[Literal["chat.completion"], Meta(description="Always `chat.completion`.")] = "chat.completion"
    created: Annotated[int, Meta(description="Unix time at which the request was accepted.")]
    model: Annotated[str, Meta(description="Name of the persona.")]
    choices: Annotated[list[ChatChoice], Meta(description="The answer; with `n`, several choices.")]
    usage: Annotated[CompletionUsage, Meta(description="Token counts.")]
    system_fingerprint: Annotated[None, Meta(description="Always `null`.")] = None


class ErrorObject(Struct, frozen=True, kw_only=True):
    """Details of an error."""

    message: Annotated[str, Meta(description="Error message to display.")]
    type: Annotated[str, Meta(description="Kind of the error.")]
    param: Annotated[str | None, Meta(description="Invalid field, if any.")] = None
    code: Annotated[str | None, Meta(description="Error code for programs.")]


class ErrorBody(Struct, frozen=True, kw_only=True):
    """Body of an error response, and last chunk of a failed stream."""

    error: Annotated[ErrorObject, Meta(description="Details of the error.")]


class Model(Struct, frozen=True, kw_only=True):
    """Available model, which is a persona."""

    id: Annotated[str, Meta(description="Value to send as `model`.")]
    object: Annotated[Literal["model"], Meta(description="Always `model`.")] = "model"
    created: Annotated[int, Meta(description="Always 0.")] = 0
    owned_by: Annotated[str, Meta(description="Always `persona_stream`.")] = "persona_stream"


class ModelList(Struct, frozen=True, kw_only=True):
    """List of all models; never empty."""

    object: Annotated[Literal["list"], Meta(description="Always `list`.")] = "list"
    data: Annotated[list[Model], Meta(description="The models.")]


SERVER_ERROR = "server_error"
_INVALID = "invalid_request_error"

_TYPES: Mapping[int, str] = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES: Mapping[str, str] = {"unauthorized": "invalid_api_key"}

# Clients choose their exception by the status and these codes.
_FAILURE_CODES: Mapping[str, str] = {
    "rate_limited": "rate_limit_exceeded",
    "content_filter": "content_policy_violation",
}
# LiteLLM reads neither status nor code for these, but English words, which a translated message keeps.
_FAILURE_WORDS: Mapping[str, tuple[str, str]] = {
    "context_length_exceeded": (
        "is longer than the model's context length",
        "This model's maximum context length is exceeded: ",
    ),
    "content_filter": (
        "request was rejected as a result of the safety system",
        "The request was rejected as a result of the safety system: ",
    ),
    "rate_limited": ("rate limit", "Rate limit reached: "),
}
_FAILURE_PARAMS: Mapping[str, str] = {"context_length_exceeded": "messages", "model_not_found": "model"}


def error_body(error: ErrorInfo) -> ErrorBody:
    """Return the body of an error response."""
    kind = _TYPES.get(error.status, _INVALID if error.status < 500 else SERVER_ERROR)
    code = _CODES.get(error.code, error.code)
    return ErrorBody(error=ErrorObject(message=error.message, type=kind, param=error.field, code=code))


def failure_body(code: facts.FailureCode, message: str) -> ErrorBody:
    """Return the body for a failed run."""
    status = http_status_for(code)
    kind = _TYPES.get(status, _INVALID if status < 500 and code != "cancelled" else SERVER_ERROR)
    param = _FAILURE_PARAMS.get(code)
    words, prefix = _FAILURE_WORDS.get(code, ("", ""))
    message = message if words in message else prefix + message
    return ErrorBody(error=ErrorObject(message=message, type=kind, param=param, code=_FAILURE_CODES.get(code, code)))

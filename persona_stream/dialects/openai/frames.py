"""The bodies of OpenAI's chat wire. What is encoded here is what ``/openapi.json`` describes."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

FinishReason = Literal["stop"]


class ChatDelta(Struct, frozen=True, kw_only=True):
    """What a chunk adds to the message; nothing, when it only tells that the run lives."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET


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
    """The whole answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None
    reasoning_content: str | UnsetType = UNSET


class ChatChoice(Struct, frozen=True, kw_only=True):
    """The one choice of a completion."""

    index: Literal[0] = 0
    message: ChatMessage
    logprobs: None = None
    finish_reason: FinishReason = "stop"


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

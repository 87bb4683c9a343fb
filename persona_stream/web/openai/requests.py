"""What OpenAI's clients send."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from flask import Request
from msgspec import Meta, Struct

from persona_stream.core.query import Parameters
from persona_stream.errors import InvalidRequest
from persona_stream.web import bodies
from persona_stream.web.openai.messages import RequestMessage
from persona_stream.web.openai.tools import Choice, RequestTool

_SAMPLING = (
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "reasoning_effort",
    "user",
    "parallel_tool_calls",
)

Positive = Annotated[int, Meta(ge=1)]


class StreamOptions(Struct, frozen=True):
    """What else a stream shall have."""

    include_usage: bool | None = None


class ChatCompletionRequest(Struct, frozen=True):
    """A conversation to go on with. Fields that are not here are ignored, and ``null`` means left out."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[list[RequestMessage], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: Positive | None = None
    max_completion_tokens: Positive | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    reasoning_effort: str | None = None
    user: str | None = None

    tools: list[RequestTool] | None = None
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None

    n: int | None = None
    functions: list[Any] | None = None
    function_call: str | dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None

    @property
    def parameters(self) -> Parameters:
        """How to sample, by name: what was sent."""
        given = {name: value for name in _SAMPLING if (value := getattr(self, name)) is not None}
        if isinstance(stop := given.get("stop"), list):
            given["stop"] = tuple(stop)
        if self.response_format not in (None, {"type": "text"}):
            given["response_format"] = self.response_format
        return MappingProxyType(given)

    @property
    def includes_usage(self) -> bool:
        """Whether a stream shall end with the tokens."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


_decoder = msgspec.json.Decoder(ChatCompletionRequest)

# What no backend here can do is refused, and not done without: the client would wait for it in vain.
_HONOURED = {
    "n": (None, 1),
    "functions": (None, []),
    "function_call": (None, "none"),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "modalities": (None, [], ["text"]),
    "audio": (None,),
}


def read_completion_request(request: Request) -> ChatCompletionRequest:
    """Read and check the body of a request for a completion.

    Raises:
        InvalidRequest: it is not a JSON object, a field breaks its rule, or asks for what no backend here can do; the
            message names the field.
    """
    asked = bodies.read(request, _decoder)
    for field, values in _HONOURED.items():
        if getattr(asked, field) not in values:
            raise InvalidRequest(f"{field}: this server cannot do that: leave it out", field)
    return asked

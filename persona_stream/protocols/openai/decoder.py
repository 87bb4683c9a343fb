"""What OpenAI's clients send.

The messages of OpenAI's clients as turns.

The tools of OpenAI's clients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from persona_stream.core.content import Image, Part, Tool, ToolCall, ToolChoice, join_text_parts
from persona_stream.core.query import Parameters, Turn
from persona_stream.errors import InvalidRequest
from persona_stream.protocols.conversation import Name, validate_image_url, validate_tool_choice
from persona_stream.protocols.openai.schemas import FunctionCall

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
_ROLES: Mapping[Role, Literal["system", "user", "assistant", "tool"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


class ImageUrl(Struct, frozen=True):
    """Where a picture is, or, as a ``data:`` URL, what it is."""

    url: str
    detail: str | None = None


class ContentPart(Struct, frozen=True):
    """A part of a message: text, or a picture for a backend that can see."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | None = None


class RequestMessage(Struct, frozen=True):
    """One message of the conversation."""

    role: Role
    content: str | list[ContentPart] | None = None
    refusal: str | None = None
    tool_calls: list[FunctionCall] | None = None
    tool_call_id: str | None = None
    function_call: None = None


def parse_turns(messages: Sequence[RequestMessage]) -> list[Turn]:
    """Give each message as a turn.

    Raises:
        InvalidRequest: it holds what no backend here can take.
    """
    return [_turn(message, f"messages[{index}].content") for index, message in enumerate(messages)]


def _turn(message: RequestMessage, where: str) -> Turn:
    match message.content:
        case None:
            parts: tuple[Part, ...] = (message.refusal,) if message.refusal else ()
        case str(text):
            parts = (text,)
        case several:
            parts = tuple(_part(part, f"{where}[{index}]") for index, part in enumerate(several))
    calls = tuple(ToolCall(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ())
    has_more = any(isinstance(part, Image) for part in parts)
    return Turn(_ROLES[message.role], join_text_parts(parts), parts if has_more else (), calls, message.tool_call_id)


def _part(part: ContentPart, where: str) -> Part:
    match part:
        case ContentPart(type="text", text=str(text)) | ContentPart(type="refusal", refusal=str(text)):
            return text
        case ContentPart(type="image_url", image_url=ImageUrl(url=url, detail=detail)):
            return Image(validate_image_url(url, where), detail)
        case ContentPart(type="text" | "refusal" | "image_url"):
            raise InvalidRequest(f"{where}.{part.type}: is required", "messages")
        case _:
            raise InvalidRequest(
                f"{where}: is of type {part.type[:40]!r}, and only text and image_url can be taken here", "messages"
            )


class FunctionDefinition(Struct, frozen=True):
    """A function that the client has."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class RequestTool(Struct, frozen=True):
    """A tool. Only functions can be taken here."""

    function: FunctionDefinition
    type: Literal["function"] = "function"


class ChosenFunction(Struct, frozen=True):
    """The function that must be called."""

    name: Name


class ChosenTool(Struct, frozen=True):
    """The tool that must be called."""

    function: ChosenFunction
    type: Literal["function"] = "function"


Choice = Literal["auto", "none", "required"] | ChosenTool


def parse_tools(asked: list[RequestTool] | None) -> tuple[Tool, ...]:
    """Give the tools of a request."""
    return tuple(
        Tool(tool.function.name, tool.function.description, tool.function.parameters or {}, tool.function.strict)
        for tool in asked or ()
    )


def parse_tool_choice(asked: Choice | None, tools: tuple[Tool, ...]) -> ToolChoice | None:
    """Give the choice of a request.

    Raises:
        InvalidRequest: there is no such tool.
    """
    if asked is None:
        return None
    if isinstance(asked, ChosenTool):
        return validate_tool_choice("named", asked.function.name, tools)
    return validate_tool_choice(asked, None, tools)


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


completion_decoder = msgspec.json.Decoder(ChatCompletionRequest)

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


def check_completion_request(request: ChatCompletionRequest) -> None:
    """Raise InvalidRequest when a field asks for a feature that no backend here supports; the message names it."""
    for field, values in _HONOURED.items():
        if getattr(request, field) not in values:
            raise InvalidRequest(f"{field}: this server cannot do that: leave it out", field)

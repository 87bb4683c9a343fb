"""The messages of OpenAI's clients as turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from persona_stream.core.content import Image, Part, ToolCall, text_of
from persona_stream.core.query import Turn
from persona_stream.dialects.openai.frames import FunctionCall
from persona_stream.errors import InvalidRequest
from persona_stream.web.pictures import picture

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


def turns(messages: Sequence[RequestMessage]) -> list[Turn]:
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
    return Turn(_ROLES[message.role], text_of(parts), parts if has_more else (), calls, message.tool_call_id)


def _part(part: ContentPart, where: str) -> Part:
    match part:
        case ContentPart(type="text", text=str(text)) | ContentPart(type="refusal", refusal=str(text)):
            return text
        case ContentPart(type="image_url", image_url=ImageUrl(url=url, detail=detail)):
            return Image(picture(url, where), detail)
        case ContentPart(type="text" | "refusal" | "image_url"):
            raise InvalidRequest(f"{where}.{part.type}: is required", "messages")
        case _:
            raise InvalidRequest(
                f"{where}: is of type {part.type[:40]!r}, and only text and image_url can be taken here", "messages"
            )

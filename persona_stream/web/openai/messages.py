"""The messages of a request, as the question and what was said before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from persona_stream.errors import InvalidRequest
from persona_stream.query import Turn

LONGEST_TEXTS = 16 * 32_768  # characters, of all messages

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
_TURNS: Mapping[Role, Literal["system", "user", "assistant", "tool"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


class ContentPart(Struct, frozen=True):
    """A part of a message. Only text can be taken here."""

    type: str
    text: str | None = None
    refusal: str | None = None


class RequestMessage(Struct, frozen=True):
    """One message of the conversation."""

    role: Role
    content: str | list[ContentPart] | None = None
    refusal: str | None = None
    tool_calls: Annotated[list[Any], Meta(max_length=0)] | None = None
    function_call: None = None


def conversation(messages: Sequence[RequestMessage]) -> tuple[tuple[Turn, ...], str]:
    """Give the history, and the last message of the user, which is what is asked.

    Instructions that follow it belong to the history too.

    Raises:
        InvalidRequest: there is none, it says nothing, others have spoken since, or all is too long.
    """
    texts = [_text(message, f"messages[{index}].content") for index, message in enumerate(messages)]
    length = sum(map(len, texts))
    if length > LONGEST_TEXTS:
        raise _invalid(f"messages: have {length} characters, and may have {LONGEST_TEXTS}")
    last = max((index for index, message in enumerate(messages) if message.role == "user"), default=None)
    if last is None:
        raise _invalid("messages: none of them is the user's")
    if not texts[last].strip():
        raise _invalid(f"messages[{last}].content: is blank, and it is what is asked")
    turns = [Turn(_TURNS[message.role], text) for message, text in zip(messages, texts, strict=True)]
    if any(turn.role != "system" for turn in turns[last + 1 :]):
        raise _invalid("messages: the last one must be the user's")
    return tuple(turns[:last] + turns[last + 1 :]), texts[last]


def _text(message: RequestMessage, where: str) -> str:
    match message.content:
        case None:
            return message.refusal or ""
        case str(text):
            return text
        case parts:
            return "\n".join(_part(part, f"{where}[{index}]") for index, part in enumerate(parts))


def _part(part: ContentPart, where: str) -> str:
    if part.type not in ("text", "refusal"):
        raise _invalid(f"{where}: is of type {part.type[:40]!r}, and only text can be taken here")
    text = part.text if part.type == "text" else part.refusal
    if text is None:
        raise _invalid(f"{where}.{part.type}: is required")
    return text


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(message, "messages")

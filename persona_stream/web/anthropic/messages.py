"""The messages of Anthropic's clients as turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from persona_stream.core.content import Image, Part, ToolCall, text_of
from persona_stream.core.query import Turn
from persona_stream.errors import InvalidRequest
from persona_stream.web.pictures import picture

_OF_USERS = ("image", "document", "search_result", "tool_result")


class BlockSource(Struct, frozen=True):
    """Where a picture is, or what it is."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None


class MessageBlock(Struct, frozen=True):
    """A part of a message: a text, a picture, a call of a tool, its result, or what an earlier answer held besides."""

    type: str
    text: str | None = None
    source: BlockSource | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: Any = None
    is_error: bool | None = None


class InputMessage(Struct, frozen=True):
    """One message of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: str | list[MessageBlock]


def turns(system: str | Sequence[MessageBlock] | None, messages: Sequence[InputMessage]) -> list[Turn]:
    """Give the instructions and the messages as turns.

    Raises:
        InvalidRequest: they hold what no backend here can take.
    """
    found = [Turn("system", _text(system, "system"))] if system else []
    for index, message in enumerate(messages):
        found.extend(_turns(message, f"messages[{index}].content"))
    return found


def _turns(message: InputMessage, where: str) -> Iterator[Turn]:
    match message.role:
        case "system":
            yield Turn("system", _text(message.content, where))
        case "assistant":
            yield from _said(message.content, where)
        case "user":
            yield from _asked(message.content, where)


def _asked(content: str | Sequence[MessageBlock], where: str) -> Iterator[Turn]:
    """Give the results of tools, which belong to what was said before, and then what the user says."""
    blocks = _blocks(content)
    parts: list[Part] = []
    for index, block in enumerate(blocks):
        if block.type == "tool_result":
            yield _result(block, f"{where}[{index}]")
        else:
            parts.append(_part(block, f"{where}[{index}]"))
    if parts or not blocks:
        yield Turn("user", *_texts_and_more(parts))


def _said(content: str | Sequence[MessageBlock], where: str) -> Iterator[Turn]:
    """Give what an earlier answer said and called; nothing, where that was neither.

    Whatever else it held is left out: thoughts are signed by us, and what a provider had no words of ours for it would
    want back to the letter.
    """
    texts: list[str] = []
    calls: list[ToolCall] = []
    for index, block in enumerate(_blocks(content)):
        match block:
            case MessageBlock(type="text", text=str(text)):
                texts.append(text)
            case MessageBlock(type="tool_use", id=str(name_of_call), name=str(name)) if name_of_call and name:
                calls.append(ToolCall(name_of_call, name, msgspec.json.encode(block.input or {}).decode()))
            case MessageBlock(type="text"):
                raise _invalid(f"{where}[{index}].text: is required")
            case MessageBlock(type="tool_use"):
                raise _invalid(f"{where}[{index}]: has no id or no name")
            case _ if block.type in _OF_USERS:
                raise _invalid(f"{where}[{index}]: is of type {block.type!r}, and nothing that an assistant says")
    if (text := "".join(texts)) or calls:
        yield Turn("assistant", text, (), tuple(calls))


def _result(block: MessageBlock, where: str) -> Turn:
    if not block.tool_use_id:
        raise _invalid(f"{where}.tool_use_id: is required")
    try:
        content = msgspec.convert(block.content, str | list[MessageBlock] | None)
    except msgspec.ValidationError:
        raise _invalid(f"{where}.content: is neither a text nor blocks") from None
    inner = _blocks(content or [])
    parts = [_part(each, f"{where}.content[{index}]") for index, each in enumerate(inner)]
    text, more = _texts_and_more(parts)
    return Turn("tool", text, more, (), block.tool_use_id, bool(block.is_error))


def _text(content: str | Sequence[MessageBlock], where: str) -> str:
    parts = [_part(block, f"{where}[{index}]") for index, block in enumerate(_blocks(content))]
    if any(isinstance(part, Image) for part in parts):
        raise _invalid(f"{where}: has a picture, and instructions are texts")
    return text_of(tuple(parts))


def _blocks(content: str | Sequence[MessageBlock]) -> Sequence[MessageBlock]:
    return [MessageBlock("text", content)] if isinstance(content, str) else content


def _texts_and_more(parts: Sequence[Part]) -> tuple[str, tuple[Part, ...]]:
    has_more = any(isinstance(part, Image) for part in parts)
    return text_of(tuple(parts)), tuple(parts) if has_more else ()


def _part(block: MessageBlock, where: str) -> Part:
    match block:
        case MessageBlock(type="text", text=str(text)):
            return text
        case MessageBlock(type="image", source=BlockSource(type="base64", media_type=str(kind), data=str(data))):
            return Image(picture(f"data:{kind};base64,{data}", where))
        case MessageBlock(type="image", source=BlockSource(type="url", url=str(url))):
            return Image(picture(url, where))
        case MessageBlock(type="text"):
            raise _invalid(f"{where}.text: is required")
        case MessageBlock(type="image"):
            raise _invalid(f"{where}.source: must be of type base64 or url, with all that such a source has")
        case _:
            raise _invalid(f"{where}: is of type {block.type[:40]!r}, and only text and image can be taken here")


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(message, "system" if message.startswith("system") else "messages")

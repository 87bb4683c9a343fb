"""The messages of a request, in whatever dialect, as the question, what was said before it, and what since.

Pictures in requests.

What both protocols have rules for in the same way: the names of tools, and the choice among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from persona_stream.backends.base import Backend, Capability
from persona_stream.core.content import Image, Part, Tool, ToolChoice
from persona_stream.core.query import Query, Turn
from persona_stream.errors import InvalidRequest

MAX_TEXT_CHARACTERS = 16 * 32_768  # characters, of all messages

_TEXTS: dict[Capability, str] = {
    "tools": "what answers here calls no tools: leave them out",
    "images": "what answers here sees no pictures: send text alone",
    "prefill": "the last one must be the user's, as what answers here cannot go on with an answer that is begun",
    "response_format": "what answers here keeps to no such format: leave it out",
    "json_schema": "what answers here keeps to no format: leave it out",
}


class ParsedConversation(Struct, frozen=True):
    """Hold a conversation around the message that is to be answered. The fields are as in a ``Query``."""

    message: str
    parts: tuple[Part, ...]
    history: tuple[Turn, ...]
    tool_turns: tuple[Turn, ...]


def parse_conversation(turns: Sequence[Turn]) -> ParsedConversation:
    """Find the user's last message, which is what is asked.

    Instructions that follow it belong to what was said before.

    Raises:
        InvalidRequest: there is none, it says nothing, or all is too long.
    """
    length = sum(len(turn.content) for turn in turns)
    if length > MAX_TEXT_CHARACTERS:
        raise _invalid(f"messages: have {length} characters, and may have {MAX_TEXT_CHARACTERS}")
    last = max((index for index, turn in enumerate(turns) if turn.role == "user"), default=None)
    if last is None:
        raise _invalid("messages: none of them is the user's")
    asked, following = turns[last], turns[last + 1 :]
    if not asked.content.strip() and not asked.parts:
        raise _invalid("messages: the user's last one is blank, and it is what is asked")
    instructions = tuple(turn for turn in following if turn.role == "system")
    since = tuple(turn for turn in following if turn.role != "system")
    return ParsedConversation(asked.content, asked.parts, (*turns[:last], *instructions), since)


def require_capabilities(query: Query, backend: Backend, names: Mapping[str, str] | None = None) -> None:
    """See that a backend can do what a query takes.

    Args:
        query: what is asked.
        backend: who is.
        names: fields that the request has under other names.

    Raises:
        InvalidRequest: it cannot; the message names the field.
    """
    for ability, field in _needed(query):
        if ability not in backend.capabilities:
            field = (names or {}).get(field, field)
            raise InvalidRequest(f"{field}: {_TEXTS[ability]}", field)


def _needed(query: Query) -> Iterator[tuple[Capability, str]]:
    turns = (*query.history, *query.tool_turns)
    if query.tools:
        yield "tools", "tools"
    if any(turn.calls or turn.role == "tool" for turn in turns):
        yield "tools", "messages"
    if any(isinstance(part, Image) for parts in (query.parts, *(turn.parts for turn in turns)) for part in parts):
        yield "images", "messages"
    if query.tool_turns and query.tool_turns[-1].role == "assistant":
        yield "prefill", "messages"
    match query.parameters.get("response_format"):
        case None:
            pass
        case {"type": "json_schema", "json_schema": {"schema": dict()}}:
            yield "json_schema", "response_format"
        case _:
            yield "response_format", "response_format"


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(message, "messages")


# What the providers take. That it is base64 to its end is theirs to find out: here it is megabytes of somebody else's.
_IMAGE = re.compile(r"https?://[^\s]{1,8000}|data:image/[a-z0-9.+-]{1,40};base64,[A-Za-z0-9+/]+={0,2}", re.ASCII)


def validate_image_url(url: str, where: str) -> str:
    """Check the address of a picture.

    Raises:
        InvalidRequest: there can be none.
    """
    if not _IMAGE.fullmatch(url):
        raise InvalidRequest(
            f"{where}: is no address of a picture: write https://… or data:image/…;base64,…", "messages"
        )
    return url


# Not `$` at the end: in Python it lets a newline pass.
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,128}(?![\s\S])")]


def validate_tool_choice(
    mode: Literal["auto", "none", "required", "named"], name: str | None, tools: tuple[Tool, ...]
) -> ToolChoice | None:
    """Give the choice of a request; none, where it says nothing.

    Raises:
        InvalidRequest: there is no such tool.
    """
    if not tools and mode in ("none", "auto"):
        return None
    if not tools or (mode == "named" and name not in [tool.name for tool in tools]):
        raise InvalidRequest("tool_choice: there is no such tool among tools", "tool_choice")
    return ToolChoice(mode, name)

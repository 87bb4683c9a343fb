"""Conversations in a request: the question among the turns, and the validation that all protocols share."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta, Struct

from persona_stream.backends.base import Backend, Capability
from persona_stream.core.content import Image, Part, Tool, ToolChoice, join_text_parts
from persona_stream.core.query import Query, Turn
from persona_stream.errors import ContextTooLong, InvalidRequest

MAX_TEXT_CHARACTERS = 16 * 32_768  # of all messages together

_UNSUPPORTED_TEXTS: dict[Capability, str] = {
    "tools": "this backend does not support tools; omit them",
    "images": "this backend does not support images; send text only",
    "prefill": "the last message must be the user's: this backend cannot continue an answer",
    "response_format": "this backend does not support this format; omit it",
    "json_schema": "this backend does not support JSON schemas; omit it",
    "choices": "this backend gives one choice; omit it",
    "logprobs": "this backend has no log probabilities; omit it",
    "audio": "this backend answers with text only; omit it",
}

_CAPABILITY_BY_PARAMETER: Mapping[str, Capability] = {
    "n": "choices",
    "logprobs": "logprobs",
    "top_logprobs": "logprobs",
    "modalities": "audio",
    "audio": "audio",
}

ChoiceMode = Literal["auto", "none", "required", "named"]

# Formats that providers accept. Whether the data is valid base64 is for the provider to check: it may be megabytes.
_IMAGE_URL = re.compile(r"https?://[^\s]{1,8000}|data:image/[a-z0-9.+-]{1,40};base64,[A-Za-z0-9+/]+={0,2}", re.ASCII)

# Not `$` at the end: in Python it matches before a final newline.
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,128}(?![\s\S])")]

ModelName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=256,
        description="Name of a persona, as listed by `GET /v1/models`; any name if no personas are configured.",
    ),
]
MESSAGES = Meta(
    min_length=1, description="Conversation; the last user message is the question, all others are its history."
)
TOOLS = Meta(description="Tools that the answer may call; rejected if the backend does not support tools.")
TOOL_CHOICE = Meta(description="Whether the answer may, must or must not call a tool, or which one it must call.")


class ParsedConversation(Struct, frozen=True):
    """A conversation split at its question. The fields are those of ``Query``."""

    message: str
    parts: tuple[Part, ...]
    history: tuple[Turn, ...]
    tool_turns: tuple[Turn, ...]


class _Messages(Struct, frozen=True):
    """Messages of a request with all their fields."""

    messages: list[dict[str, Any]]


_messages_decoder = msgspec.json.Decoder(_Messages)


def decode_raw_messages(body: bytes) -> Sequence[Mapping[str, Any]]:
    """Return the messages of a valid body with all their fields; empty if none of them is an earlier answer."""
    return _messages_decoder.decode(body).messages if b'"assistant"' in body else ()


def unknown_fields(value: object, known: Set[str]) -> dict[str, Any]:
    """Return the fields of an object that are neither known nor empty."""
    if not isinstance(value, Mapping):
        return {}
    return {name: item for name, item in value.items() if name not in known and item not in (None, [], {}, "")}


class HasRole(Protocol):
    """Message, or item that may be one."""

    @property
    def role(self) -> str | None:
        """The author of a message."""
        ...


def question_index(messages: Sequence[HasRole]) -> int:
    """Return the index of the last user message, which is the question; 0 if there is none."""
    return max((index for index, message in enumerate(messages) if message.role == "user"), default=0)


def parse_conversation(turns: Sequence[Turn], field: str = "messages") -> ParsedConversation:
    """Return a conversation split at the last user message, which is the question.

    Instructions after the question become part of the history. If there are only instructions, which published
    providers answer too, the last of them is the question. ``field`` is the name of the conversation in errors.

    Raises:
        InvalidRequest: There is no user message, or the last one is empty.
        ContextTooLong: The conversation exceeds the limit.
    """
    characters = sum(len(turn.content) for turn in turns)
    if characters > MAX_TEXT_CHARACTERS:
        # Anthropic's clients and LiteLLM recognize an exceeded context by these words.
        limit = f"which is longer than the model's context length: at most {MAX_TEXT_CHARACTERS} are allowed"
        raise ContextTooLong(f"{field}: prompt is too long: {characters} characters, {limit}", field)
    index = max((index for index, turn in enumerate(turns) if turn.role == "user"), default=None)
    if index is None and turns and all(turn.role == "system" for turn in turns):
        index = len(turns) - 1
    if index is None:
        raise InvalidRequest(f"{field}: must contain a user message", field)
    question = turns[index]
    if not question.content.strip() and not question.parts:
        raise InvalidRequest(f"{field}: the last user message must not be empty", field)
    following = turns[index + 1 :]
    instructions = tuple(turn for turn in following if turn.role == "system")
    tool_turns = tuple(turn for turn in following if turn.role != "system")
    return ParsedConversation(
        message=question.content, parts=question.parts, history=(*turns[:index], *instructions), tool_turns=tool_turns
    )


def require_capabilities(query: Query, backend: Backend, field_names: Mapping[str, str] | None = None) -> None:
    """Raise an error if a backend lacks a capability that a query needs.

    Args:
        query: The query.
        backend: The backend.
        field_names: Names of fields in the request that differ from OpenAI's, by OpenAI's name.

    Raises:
        InvalidRequest: The backend lacks a capability; the message names the field.
    """
    for capability, openai_field in _required_capabilities(query):
        if capability not in backend.capabilities:
            field = (field_names or {}).get(openai_field, openai_field)
            raise InvalidRequest(f"{field}: {_UNSUPPORTED_TEXTS[capability]}", field)


def _required_capabilities(query: Query) -> Iterator[tuple[Capability, str]]:
    turns = (*query.history, *query.tool_turns)
    if query.tools:
        yield "tools", "tools"
    if any(turn.calls or turn.role == "tool" for turn in turns):
        yield "tools", "messages"
    if any(isinstance(part, Image) for parts in (query.parts, *(turn.parts for turn in turns)) for part in parts):
        yield "images", "messages"
    if query.tool_turns and query.tool_turns[-1].role == "assistant":
        yield "prefill", "messages"
    for name in query.parameters.keys() & _CAPABILITY_BY_PARAMETER.keys():
        yield _CAPABILITY_BY_PARAMETER[name], name
    match query.parameters.get("response_format"):
        case None:
            pass
        case {"type": "json_schema", "json_schema": {"schema": dict()}}:
            yield "json_schema", "response_format"
        case _:
            yield "response_format", "response_format"


def omit_unsupported_results(query: Query, backend: Backend) -> Query:
    """Return the query with notes in place of images in tool results, if the backend does not support images.

    A client repeats its tool results in every request, and cannot ask its tools for something else.
    """
    turns = (*query.history, *query.tool_turns)
    if "images" in backend.capabilities or not any(turn.role == "tool" and turn.parts for turn in turns):
        return query
    history = tuple(_without_images(turn) for turn in query.history)
    return replace(query, history=history, tool_turns=tuple(_without_images(turn) for turn in query.tool_turns))


def _without_images(turn: Turn) -> Turn:
    if turn.role != "tool" or not turn.parts:
        return turn
    parts = tuple(omission_note("image") if isinstance(part, Image) else part for part in turn.parts)
    return replace(turn, content=join_text_parts(parts), parts=())


def omission_note(kind: str) -> str:
    """Return the text that takes the place of content that cannot be passed on to the model."""
    return f"[{kind[:80]} omitted: the model cannot receive it]"


def decode_text(media_type: str, data: str) -> str | None:
    """Return the text of a file in base64; ``None`` if it is not text."""
    if not media_type.startswith("text/"):
        return None
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def decode_data_url(url: str) -> str | None:
    """Return the text of a file in a ``data:`` URL; ``None`` if it is not text."""
    head, _, data = url.partition(";base64,")
    return decode_text(head.removeprefix("data:").partition(";")[0], data)


def text_and_parts(parts: tuple[Part, ...]) -> tuple[str, tuple[Part, ...]]:
    """Return the joined text of a message, and all its parts if there are images among them."""
    return join_text_parts(parts), parts if any(isinstance(part, Image) for part in parts) else ()


def validate_image_url(url: str, where: str, field: str = "messages") -> str:
    """Return the URL of an image.

    Args:
        url: The URL.
        where: Path of the URL, for the error.
        field: Name of the conversation, for the error.

    Raises:
        InvalidRequest: The URL has another form than providers accept.
    """
    if not _IMAGE_URL.fullmatch(url):
        raise InvalidRequest(f"{where}: must be the URL of an image: https://… or data:image/…;base64,…", field)
    return url


def validate_tool_choice(mode: ChoiceMode, name: str | None, tools: tuple[Tool, ...]) -> ToolChoice | None:
    """Return the tool choice of a request; ``None`` if it has no effect.

    Raises:
        InvalidRequest: The choice requires a tool that the request does not have.
    """
    if not tools and mode in ("none", "auto"):
        return None
    if not tools or (mode == "named" and name not in [tool.name for tool in tools]):
        raise _unknown_tool()
    return ToolChoice(mode, name)


def select_tools(tools: tuple[Tool, ...], names: Set[str]) -> tuple[Tool, ...]:
    """Return the tools that a choice allows by their names.

    Raises:
        InvalidRequest: There are no names, or one of them is not that of a tool.
    """
    if not names or not names <= {tool.name for tool in tools}:
        raise _unknown_tool()
    return tuple(tool for tool in tools if tool.name in names)


def _unknown_tool() -> InvalidRequest:
    return InvalidRequest("tool_choice: the tool is not in tools", "tool_choice")

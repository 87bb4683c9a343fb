"""Conversations in a request: the question among the turns, and the validation that all protocols share."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta, Struct

from persona_stream.backends.base import ATTACHMENT_CAPABILITIES, Backend, Capability
from persona_stream.core.content import (
    Attachment,
    Part,
    Tool,
    ToolChoice,
    attachments_of,
    join_text_parts,
)
from persona_stream.core.query import Query, Turn
from persona_stream.errors import ContextTooLong, InvalidRequest

MAX_TEXT_CHARACTERS = 16 * 32_768  # of all messages together

_UNSUPPORTED_TEXTS: dict[Capability, str] = {
    "tools": "this backend does not support tools; omit them",
    "images": "this backend does not support images; send text only",
    "files": "this backend does not support files; send their text",
    "audio_input": "this backend does not support recordings; send text only",
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
    for parts in (query.parts, *(turn.parts for turn in turns)):
        for attachment in attachments_of(parts):
            yield ATTACHMENT_CAPABILITIES[attachment.type], "messages"
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


def omit_unsupported_attachments(query: Query, backend: Backend) -> Query:
    """Return the query with notes in place of attachments in its other turns that the backend cannot receive.

    A client repeats its tool results and its files in every request, and cannot send something else. An image of the
    user is left as it is, and refused: the question may be about it.
    """

    def without_unsupported(turn: Turn) -> Turn:
        content, parts = text_and_parts(
            tuple(
                _attachment_note(part) if isinstance(part, Attachment) and is_omitted(turn, part) else part
                for part in turn.parts
            )
        )
        return replace(turn, content=content, parts=parts) if parts != turn.parts else turn

    def is_omitted(turn: Turn, attachment: Attachment) -> bool:
        is_supported = attachment.type in backend.attachment_types
        return not is_supported and (turn.role == "tool" or attachment.type != "image")

    history = tuple(without_unsupported(turn) for turn in query.history)
    return replace(query, history=history, tool_turns=tuple(without_unsupported(turn) for turn in query.tool_turns))


def _attachment_note(attachment: Attachment) -> str:
    kind = f" ({attachment.media_type})" if attachment.media_type else ""
    return omission_note(f"{attachment.type}{kind}")


def omission_note(kind: str) -> str:
    """Return the text that takes the place of content that cannot be passed on to the model."""
    return f"[{kind[:80]} omitted: the model cannot receive it]"


def text_or_file(attachment: Attachment) -> Part:
    """Return the text of a file of text, which every backend can receive; another file as it is."""
    text = attachment.text
    return attachment if text is None else text


def text_and_parts(parts: tuple[Part, ...]) -> tuple[str, tuple[Part, ...]]:
    """Return the joined text of a message, and all its parts if there are attachments among them."""
    return join_text_parts(parts), parts if attachments_of(parts) else ()


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

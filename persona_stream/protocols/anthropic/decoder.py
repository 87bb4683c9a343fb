"""Requests of Anthropic's Messages API: body types, and their translation to turns, tools and parameters."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct

from persona_stream.core.content import Attachment, Part, ProviderFields, Tool, ToolCall, ToolChoice
from persona_stream.core.query import Parameters, Turn
from persona_stream.errors import InvalidRequest, UnsupportedThread
from persona_stream.protocols import conversation, provider_state
from persona_stream.protocols.attachments import parse_attachment

_TOOL_USE_FIELDS = frozenset({"type", "id", "name", "input"})
_USER_BLOCKS = ("image", "document", "search_result", "tool_result")


class BlockSource(Struct, frozen=True):
    """Source of an image or a document: a URL, or the data itself."""

    type: Annotated[str, Meta(description="`base64` or `url`; of a document `text`, `content` or `base64`.")]
    media_type: Annotated[str | None, Meta(description="Media type, such as `image/png` or `text/plain`.")] = None
    data: Annotated[str | None, Meta(description="Data as base64; with type `text` the text itself.")] = None
    url: Annotated[str | None, Meta(description="URL of the image or the document.")] = None
    content: Annotated[Any, Meta(description="Text or text blocks, with type `content`.")] = None


class MessageBlock(Struct, frozen=True):
    """Content block: text, image, tool call, tool result, or a block of an earlier answer."""

    type: Annotated[str, Meta(description="`text`, `image`, `tool_use`, `tool_result`, `thinking` …")]
    text: Annotated[str | None, Meta(description="Text of a `text` block.")] = None
    source: Annotated[
        BlockSource | str | None, Meta(description="Source of an `image`, `document` or `search_result` block.")
    ] = None
    title: Annotated[str | None, Meta(description="Title of a `document` or `search_result` block.")] = None
    id: Annotated[str | None, Meta(description="Id of a `tool_use` block.")] = None
    name: Annotated[str | None, Meta(description="Name of the tool in a `tool_use` block.")] = None
    input: Annotated[dict[str, Any] | None, Meta(description="Arguments of a `tool_use` block.")] = None
    tool_use_id: Annotated[str | None, Meta(description="Id of the call that a `tool_result` block answers.")] = None
    tool_name: Annotated[str | None, Meta(description="Name of the tool in a `tool_reference` block.")] = None
    content: Annotated[Any, Meta(description="Result of a `tool_result` block: text, or text and image blocks.")] = None
    is_error: Annotated[bool | None, Meta(description="Whether the call of a `tool_result` block failed.")] = None
    thinking: Annotated[str | None, Meta(description="Reasoning of a `thinking` block.")] = None
    signature: Annotated[str | None, Meta(description="Signature of a `thinking` block.")] = None
    data: Annotated[str | None, Meta(description="Content of a `redacted_thinking` block.")] = None


class InputMessage(Struct, frozen=True):
    """Message of the conversation."""

    role: Annotated[Literal["user", "assistant", "system"], Meta(description="Author of the message.")]
    content: Annotated[
        str | list[MessageBlock],
        Meta(description="Text, or a list of blocks; unknown blocks in assistant messages are ignored."),
    ]


def parse_turns(
    system: str | Sequence[MessageBlock] | None,
    messages: Sequence[InputMessage],
    raw: Sequence[Mapping[str, Any]] = (),
) -> list[Turn]:
    """Return the system prompt and the messages as turns.

    Blocks of an unsupported type in tool results and before the question become notes: a client repeats them in each
    request, and one refusal would be the end of its session.

    Args:
        system: The system prompt.
        messages: The messages.
        raw: The same messages with all their fields: providers require some of their own fields back.

    Raises:
        InvalidRequest: A block has a type that is unsupported in its place, or is incomplete.
    """
    found = [Turn("system", _text(system, "system"))] if system else []
    question = conversation.question_index(messages)
    for index, message in enumerate(messages):
        content = raw[index].get("content") if index < len(raw) else None
        parse = _part if index == question else _part_or_note
        found.extend(_turns(message, content, f"messages[{index}].content", parse))
    return found


def _turns(message: InputMessage, raw: object, where: str, parse: "PartParser") -> Iterator[Turn]:
    match message.role:
        case "system":
            yield Turn("system", _text(message.content, where))
        case "assistant":
            yield from _assistant_turns(message.content, raw if isinstance(raw, list) else [], where)
        case "user":
            yield from _user_turns(message.content, where, parse)


def _user_turns(content: str | Sequence[MessageBlock], where: str, parse: "PartParser") -> Iterator[Turn]:
    """Yield the tool results, which answer the previous turn, and then the user's own turn."""
    blocks = _blocks(content)
    parts: list[Part] = []
    for index, block in enumerate(blocks):
        if block.type == "tool_result":
            yield _tool_result(block, f"{where}[{index}]")
        else:
            parts.append(parse(block, f"{where}[{index}]"))
    if parts or not blocks:
        yield Turn("user", *conversation.text_and_parts(tuple(parts)))


def _assistant_turns(content: str | Sequence[MessageBlock], raw: list[Any], where: str) -> Iterator[Turn]:
    """Yield a turn with the text, the tool calls and the reasoning of an earlier answer; none without text and calls.

    The signature of a thinking block tells what its provider requires back. Blocks that this server does not know are
    skipped.
    """
    texts: list[str] = []
    calls: list[ToolCall] = []
    thoughts: list[str] = []
    redacted: list[Mapping[str, Any]] = []
    state: provider_state.ProviderState | None = None
    for index, block in enumerate(_blocks(content)):
        match block:
            case MessageBlock(type="text", text=str(text)):
                texts.append(text)
            case MessageBlock(type="tool_use", id=str(call_id), name=str(name)) if call_id and name:
                arguments = msgspec.json.encode(block.input or {}).decode()
                fields = conversation.unknown_fields(raw[index] if index < len(raw) else {}, _TOOL_USE_FIELDS)
                calls.append(
                    ToolCall(call_id, name, arguments, ProviderFields("anthropic", fields) if fields else UNSET)
                )
            case MessageBlock(type="text"):
                raise _invalid(f"{where}[{index}].text: is required")
            case MessageBlock(type="tool_use"):
                raise _invalid(f"{where}[{index}]: id and name are required")
            case MessageBlock(type="thinking"):
                thoughts.append(block.thinking or "")
                state = provider_state.decode(block.signature) or state
            case MessageBlock(type="redacted_thinking", data=str(data)):
                redacted.append({"type": "redacted_thinking", "data": data})
            case _ if block.type in _USER_BLOCKS:
                raise _invalid(f"{where}[{index}]: type {block.type!r} is not allowed in an assistant message")
    reasoning = "".join(thoughts)
    if (text := "".join(texts)) or calls:
        yield Turn(
            "assistant",
            text,
            (),
            tuple(provider_state.restore_call(call, state) for call in calls),
            reasoning=reasoning or UNSET,
            extras=provider_state.restore_extras(state, reasoning, redacted),
        )


def _tool_result(block: MessageBlock, where: str) -> Turn:
    if not block.tool_use_id:
        raise _invalid(f"{where}.tool_use_id: is required")
    try:
        content = msgspec.convert(block.content, str | list[MessageBlock] | None)
    except msgspec.ValidationError:
        raise _invalid(f"{where}.content: must be a string or a list of blocks") from None
    found = [_part_or_note(each, f"{where}.content[{index}]") for index, each in enumerate(_blocks(content or []))]
    text, parts = conversation.text_and_parts(tuple(found))
    return Turn("tool", text, parts, (), block.tool_use_id, bool(block.is_error))


def _text(content: str | Sequence[MessageBlock], where: str) -> str:
    parts = tuple(_part(block, f"{where}[{index}]") for index, block in enumerate(_blocks(content)))
    text, attachments = conversation.text_and_parts(parts)
    if attachments:
        raise _invalid(f"{where}: must be text in instructions")
    return text


def _blocks(content: str | Sequence[MessageBlock]) -> Sequence[MessageBlock]:
    return [MessageBlock("text", content)] if isinstance(content, str) else content


PartParser = Callable[[MessageBlock, str], Part]


def _part_or_note(block: MessageBlock, where: str) -> Part:
    try:
        return _part(block, where)
    except InvalidRequest:
        media_type = isinstance(block.source, BlockSource) and block.source.media_type
        return conversation.omission_note(f"{block.type} ({media_type})" if media_type else block.type)


def _part(block: MessageBlock, where: str) -> Part:
    match block:
        case MessageBlock(type="text", text=str(text)):
            return text
        case MessageBlock(type="image", source=BlockSource(type="base64", media_type=str(kind), data=str(data))):
            return parse_attachment(f"data:{kind};base64,{data}", where)
        case MessageBlock(type="image", source=BlockSource(type="url", url=str(url))):
            return parse_attachment(url, where)
        case MessageBlock(type="tool_reference", tool_name=name):
            return f"[tool available: {name or 'unknown'}]"
        case MessageBlock(type="document" | "search_result") if document := _document_text(block):
            return f"{block.title}\n{document}" if block.title else document
        case MessageBlock(type="document", source=BlockSource(type="base64", media_type=str(kind), data=str(data))):
            return parse_attachment(f"data:{kind};base64,{data}", where, type="file", name=block.title)
        case MessageBlock(type="document", source=BlockSource(type="url", url=str(url))):
            return parse_attachment(url, where, type="file", name=block.title)
        case MessageBlock(type="document"):
            raise _invalid(f"{where}.source: must be a complete source; files are not stored here")
        case MessageBlock(type="text"):
            raise _invalid(f"{where}.text: is required")
        case MessageBlock(type="image"):
            raise _invalid(f"{where}.source: must be a complete source of type base64 or url")
        case _:
            raise _invalid(f"{where}: unsupported type {block.type[:40]!r}; must be text, image or document")


def _document_text(block: MessageBlock) -> str | None:
    """Return the text of a document or of a search result; ``None`` if it is not text."""
    match block.source:
        case BlockSource(type="text", data=str(text)):
            return text
        case BlockSource(type="base64", media_type=str(kind), data=str(data)):
            return Attachment(f"data:{kind};base64,{data}", type="file").text
        case BlockSource(type="content", content=content):
            pass
        case _:
            content = block.content
    match content:
        case str(text):
            return text
        case list(blocks):
            return "\n".join(
                each["text"] for each in blocks if isinstance(each, dict) and isinstance(each.get("text"), str)
            )
    return None


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(message, "system" if message.startswith("system") else "messages")


class MessageTool(Struct, frozen=True):
    """Tool that the client offers, or a tool of Anthropic's servers, which is ignored if there are others."""

    name: Annotated[conversation.Name, Meta(description="Name of the tool.")]
    input_schema: Annotated[
        dict[str, Any] | None,
        Meta(description="JSON Schema of the arguments. Required unless `type` names another kind."),
    ] = None
    type: Annotated[str | None, Meta(description="`custom` or absent; else a tool of Anthropic, which is ignored.")] = (
        None
    )
    description: Annotated[str | None, Meta(description="Purpose of the tool, for the model.")] = None
    strict: Annotated[bool | None, Meta(description="Whether the arguments must match the schema.")] = None


Choice = Literal["auto", "any", "tool", "none"]
_MODES: Mapping[Choice, conversation.ChoiceMode] = {"auto": "auto", "any": "required", "tool": "named", "none": "none"}


class MessageToolChoice(Struct, frozen=True):
    """Constraint on tool calls."""

    type: Annotated[
        Choice,
        Meta(description="Whether to call a tool: optionally (`auto`), any (`any`), `name` (`tool`) or none (`none`)."),
    ]
    name: Annotated[conversation.Name | None, Meta(description="Tool to call, with type `tool`.")] = None
    disable_parallel_tool_use: Annotated[bool | None, Meta(description="Whether to call one tool at most.")] = None


def parse_tools(tools: list[MessageTool] | None) -> tuple[Tool, ...]:
    """Return the client's own tools of a request, without those whose schema or execution is Anthropic's.

    Clients list ``web_search_20250305`` and the like beside their own (Alishahryar1/free-claude-code PR 437).

    Raises:
        InvalidRequest: A tool has no schema, or there are none but Anthropic's.
    """
    own = []
    for index, tool in enumerate(tools or ()):
        if tool.type not in (None, "custom"):
            continue
        if tool.input_schema is None:
            raise InvalidRequest(f"tools[{index}].input_schema: is required", "tools")
        own.append(Tool(tool.name, tool.description, tool.input_schema, tool.strict))
    if tools and not own:
        raise InvalidRequest(f"tools[0].type: {(tools[0].type or '')[:40]!r} is not supported by this server", "tools")
    return tuple(own)


def parse_tool_choice(choice: MessageToolChoice | None, tools: tuple[Tool, ...]) -> ToolChoice | None:
    """Return the tool choice of a request, or ``None`` if it leaves the choice to the backend.

    Raises:
        InvalidRequest: The chosen tool is not among the tools, or has no name.
    """
    if choice is None:
        return None
    if choice.type == "tool" and choice.name is None:
        raise InvalidRequest("tool_choice.name: is required", "tool_choice")
    return conversation.validate_tool_choice(_MODES[choice.type], choice.name if choice.type == "tool" else None, tools)


class CountTokensRequest(Struct, frozen=True, kw_only=True):
    """Conversation to count the tokens of. Unknown fields are ignored; `null` means absent."""

    model: conversation.ModelName
    messages: Annotated[list[InputMessage], conversation.MESSAGES]
    system: Annotated[str | list[MessageBlock] | None, Meta(description="System prompt: text, or text blocks.")] = None
    tools: Annotated[list[MessageTool] | None, conversation.TOOLS] = None
    tool_choice: Annotated[MessageToolChoice | None, conversation.TOOL_CHOICE] = None
    mcp_servers: Annotated[list[Any] | None, Meta(description="Not supported: must be empty or absent.")] = None
    thread: Annotated[
        Any, Meta(description="Not supported: `null` or absent. The SDKs then send whole conversations.")
    ] = None


class RequestMetadata(Struct, frozen=True):
    """Metadata of a request."""

    user_id: Annotated[str | None, Meta(description="Id of the end user; passed on to the backend.")] = None
    conversation_id: Annotated[str | None, Meta(description="Conversation of this server to continue.")] = None


class OutputFormat(Struct, frozen=True):
    """Format of the answer: JSON that matches a schema."""

    type: Annotated[Literal["json_schema"], Meta(description="Always `json_schema`.")]
    schema: Annotated[dict[str, Any], Meta(description="JSON Schema of the answer.")]


class OutputConfig(Struct, frozen=True):
    """Output options."""

    format: Annotated[OutputFormat | None, Meta(description="Format of the answer, if the backend supports it.")] = None
    effort: Annotated[str | None, Meta(description="Effort of the answer, for providers with this protocol.")] = None


class MessagesRequest(CountTokensRequest, frozen=True, kw_only=True):
    """Request for a message. Unknown fields are ignored; `null` means absent."""

    max_tokens: Annotated[
        int, Meta(ge=1, description="Required. Maximum tokens of the answer, if the backend supports it.")
    ]
    stream: Annotated[bool | None, Meta(description="Whether to stream the answer.")] = None
    temperature: Annotated[float | None, Meta(description="Sampling temperature, if the backend supports it.")] = None
    top_p: Annotated[float | None, Meta(description="Nucleus sampling threshold, if the backend supports it.")] = None
    top_k: Annotated[int | None, Meta(description="Candidate tokens per step, if the backend supports it.")] = None
    stop_sequences: Annotated[
        list[str] | None, Meta(description="Sequences that end the answer, if the backend supports it.")
    ] = None
    metadata: Annotated[RequestMetadata | None, Meta(description="Metadata of the request.")] = None
    thinking: Annotated[
        dict[str, Any] | None,
        Meta(description="Whether and how much to reason. Like `service_tier`, for providers with this protocol."),
    ] = None
    service_tier: Annotated[str | None, Meta(description="Tier of service.")] = None
    output_config: Annotated[OutputConfig | None, Meta(description="Output options.")] = None

    @property
    def parameters(self) -> Parameters:
        """Sampling parameters that the request sets, by their names in OpenAI's API."""
        parameters: dict[str, Any] = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "max_tokens": self.max_tokens,
            "stop": tuple(self.stop_sequences) if self.stop_sequences else None,
            "user": self.metadata.user_id if self.metadata else None,
            "parallel_tool_calls": False if self.tool_choice and self.tool_choice.disable_parallel_tool_use else None,
            "response_format": self._response_format(),
            "thinking": self.thinking,
            "service_tier": self.service_tier,
            "effort": self.output_config.effort if self.output_config else None,
        }
        return MappingProxyType({name: value for name, value in parameters.items() if value is not None})

    def _response_format(self) -> dict[str, Any] | None:
        if self.output_config is None or self.output_config.format is None:
            return None
        schema = {"name": "answer", "schema": self.output_config.format.schema, "strict": True}
        return {"type": "json_schema", "json_schema": schema}


messages_decoder = msgspec.json.Decoder(MessagesRequest)
count_tokens_decoder = msgspec.json.Decoder(CountTokensRequest)


def check_messages_request(request: CountTokensRequest) -> None:
    """Raise InvalidRequest if a field requests a feature that no backend supports."""
    if request.mcp_servers:
        raise InvalidRequest("mcp_servers: not supported by this server; omit it", "mcp_servers")
    if request.thread not in (None, False):
        raise UnsupportedThread("thread: not supported by this server; send the whole conversation", "thread")

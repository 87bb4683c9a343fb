"""Requests of the Responses API: body types, and their translation to turns, tools and parameters."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, field

from persona_stream.core.content import Part, ToolCall, join_text_parts
from persona_stream.core.query import Parameters, Turn
from persona_stream.errors import InvalidRequest
from persona_stream.protocols import conversation, provider_state
from persona_stream.protocols.attachments import parse_attachment
from persona_stream.protocols.openai.decoder import given_parameters
from persona_stream.protocols.openai_responses.output import StoredRequest
from persona_stream.protocols.openai_responses.tools import (
    Choice,
    ResponseTool,
    custom_tool_arguments,
    function_name,
)

FIELD_NAMES: Mapping[str, str] = {
    "messages": "input",
    "response_format": "text",
    "max_completion_tokens": "max_output_tokens",
}
"""Names of fields that chat completions name otherwise, by the name there."""

Role = Literal["system", "developer", "user", "assistant"]
_TEXT_TYPES = ("input_text", "output_text", "text", "summary_text", "reasoning_text")


class InputPart(Struct, frozen=True):
    """Part of a message, of a tool's output, or of reasoning: text, an image or a file."""

    type: Annotated[str, Meta(description="`input_text`, `output_text`, `input_image`, `input_file`, `refusal` …")]
    text: Annotated[str | None, Meta(description="Text of a text part.")] = None
    refusal: Annotated[str | None, Meta(description="Text of a `refusal` part.")] = None
    image_url: Annotated[str | None, Meta(description="`https://…`, or the image as `data:image/…;base64,…`.")] = None
    detail: Annotated[str | None, Meta(description="Level of detail of an image: `low`, `high` or `auto`.")] = None
    filename: Annotated[str | None, Meta(description="Name of a file.")] = None
    file_data: Annotated[str | None, Meta(description="Content of a file as a `data:…/…;base64,…` URL.")] = None
    file_url: Annotated[str | None, Meta(description="Address of a file, for a backend that reads files.")] = None


class InputItem(Struct, frozen=True):
    """Item of the conversation: a message, a call, the output of a call, or reasoning; others are skipped."""

    type: Annotated[
        str | None, Meta(description="`message` (the default with a `role`), `function_call`, `function_call_output` …")
    ] = None
    id: Annotated[str | None, Meta(description="Id of the item; required for an `item_reference`.")] = None
    role: Annotated[Role | None, Meta(description="Author of a message; `developer` means `system`.")] = None
    content: Annotated[str | list[InputPart] | None, Meta(description="Content of a message.")] = None
    call_id: Annotated[str | None, Meta(description="Id of the call, for a call and its output.")] = None
    name: Annotated[conversation.Name | None, Meta(description="Name of the called tool.")] = None
    namespace: Annotated[conversation.Name | None, Meta(description="Namespace of the called function.")] = None
    arguments: Annotated[str | None, Meta(description="Arguments of a `function_call`, as JSON text.")] = None
    input: Annotated[str | None, Meta(description="Input of a `custom_tool_call`.")] = None
    output: Annotated[str | list[InputPart] | None, Meta(description="Output of a call.")] = None
    summary: Annotated[list[InputPart] | None, Meta(description="Summary of `reasoning`.")] = None
    encrypted_content: Annotated[str | None, Meta(description="What the provider requires back, as it came.")] = None


class _PendingAnswer:
    """Assistant turn that is not complete: its reasoning, message and calls are items of their own."""

    __slots__ = ("calls", "reasoning", "state", "texts")

    def __init__(self) -> None:
        self.reasoning: list[str] = []
        self.texts: list[str] = []
        self.calls: list[ToolCall] = []
        self.state: provider_state.ProviderState | None = None

    def take(self) -> list[Turn]:
        """Return the turn, if there is one, and begin the next."""
        if not (self.texts or self.calls):
            return []
        reasoning = "".join(self.reasoning)
        turn = Turn(
            "assistant",
            "\n".join(self.texts),
            (),
            tuple(provider_state.restore_call(call, self.state) for call in self.calls),
            reasoning=reasoning or UNSET,
            extras=provider_state.restore_extras(self.state, reasoning),
        )
        self.reasoning.clear()
        self.texts.clear()
        self.calls.clear()
        self.state = None
        return [turn]


def instruction_turns(instructions: str | None) -> list[Turn]:
    """Return the turn of the instructions, if there are any."""
    return [Turn("system", instructions)] if instructions else []


def parse_turns(items: Sequence[InputItem]) -> list[Turn]:
    """Return the items as turns.

    Content of an unsupported type in tool outputs and before the question becomes a note: a client repeats it in each
    request, and one refusal would be the end of its session.

    Raises:
        InvalidRequest: The question has content of an unsupported type, or an item is incomplete.
    """
    turns: list[Turn] = []
    question = conversation.question_index(items)
    pending = _PendingAnswer()
    call_ids: set[str] = set()
    for index, item in enumerate(items):
        where = f"input[{index}]"
        match item.type or ("message" if item.role else None):
            case "message" if item.role == "assistant":
                if pending.calls:
                    turns += pending.take()
                pending.texts.append(join_text_parts(_parts(item.content, where, _part_or_note)))
            case "message" if item.role is not None:
                turns += pending.take()
                role: Literal["user", "system"] = "user" if item.role == "user" else "system"
                parse = _part if index == question else _part_or_note
                turns.append(Turn(role, *conversation.text_and_parts(_parts(item.content, f"{where}.content", parse))))
            case "function_call" | "custom_tool_call":
                call = _call(item, where)
                call_ids.add(call.id)
                pending.calls.append(call)
            case "function_call_output" | "custom_tool_call_output":
                turns += pending.take()
                if item.call_id not in call_ids:
                    missing = f"{where}.call_id: no call before it has the id {str(item.call_id)[:80]!r}"
                    raise _invalid(f"{missing}; send the call too, or previous_response_id")
                parts = conversation.text_and_parts(_parts(item.output, f"{where}.output", _part_or_note))
                turns.append(Turn("tool", *parts, (), item.call_id))
            case "reasoning":
                if pending.calls:
                    turns += pending.take()
                pending.reasoning += [part.text for part in item.summary or () if part.text]
                pending.state = provider_state.decode(item.encrypted_content) or pending.state
            case "message":
                raise _invalid(f"{where}.role: is required")
            case None:
                raise _invalid(f"{where}.type: is required")
    return [*turns, *pending.take()]


def _call(item: InputItem, where: str) -> ToolCall:
    if not item.call_id or item.name is None:
        raise _invalid(f"{where}: call_id and name are required")
    is_custom = item.type == "custom_tool_call"
    arguments = custom_tool_arguments(item.input or "") if is_custom else item.arguments or "{}"
    return ToolCall(item.call_id, function_name(item.name, item.namespace), arguments)


PartParser = Callable[[InputPart, str], Part]


def _parts(content: str | Sequence[InputPart] | None, where: str, parse: PartParser) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (content,)
    return tuple(parse(part, f"{where}[{index}]") for index, part in enumerate(content or ()))


def _part_or_note(part: InputPart, where: str) -> Part:
    try:
        return _part(part, where)
    except InvalidRequest:
        return conversation.omission_note(part.type)


def _part(part: InputPart, where: str) -> Part:
    match part:
        case InputPart(type="refusal", refusal=str(text)):
            return text
        case InputPart(type=kind, text=str(text)) if kind in _TEXT_TYPES:
            return text
        case InputPart(type="input_image", image_url=str(url)):
            return parse_attachment(url, f"{where}.image_url", "input", detail=part.detail)
        case InputPart(type="input_file", file_data=str(url)) | InputPart(type="input_file", file_url=str(url)):
            attachment = parse_attachment(url, where, "input", type="file", name=part.filename)
            return conversation.text_or_file(attachment)
        case InputPart(type="input_image"):
            raise _invalid(f"{where}.image_url: is required; files are not stored here")
        case InputPart(type="input_file"):
            raise _invalid(f"{where}.file_data: is required; files are not stored here")
        case InputPart(type=kind) if kind in _TEXT_TYPES:
            raise _invalid(f"{where}.text: is required")
        case _:
            raise _invalid(
                f"{where}: unsupported type {part.type[:40]!r}; must be input_text, input_image or input_file"
            )


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(message, "input")


class TextFormat(Struct, frozen=True):
    """Format of the answer."""

    type: Annotated[Literal["text", "json_object", "json_schema"], Meta(description="Kind of the format.")]
    name: Annotated[str | None, Meta(description="Name of the schema.")] = None
    schema: Annotated[dict[str, Any] | None, Meta(description="JSON Schema, with type `json_schema`.")] = None
    strict: Annotated[bool | None, Meta(description="Whether the answer must match the schema.")] = None
    description: Annotated[str | None, Meta(description="Purpose of the format, for the model.")] = None


class TextOptions(Struct, frozen=True):
    """Options of the answer's text."""

    format: Annotated[TextFormat | None, Meta(description="Format; rejected if the backend supports text only.")] = None
    verbosity: Annotated[str | None, Meta(description="Length of the answer, for providers that support it.")] = None


class ReasoningOptions(Struct, frozen=True):
    """Options of the reasoning."""

    effort: Annotated[str | None, Meta(description="Effort that the model spends on reasoning.")] = None
    summary: Annotated[str | None, Meta(description="Ignored: reasoning is always sent, as a summary.")] = None


class ConversationParam(Struct, frozen=True):
    """Conversation of this server."""

    id: Annotated[conversation.Name, Meta(description="Conversation id.")]


class CreateResponseRequest(Struct, frozen=True):
    """Request for a response. Unknown fields are ignored; `null` means absent."""

    model: conversation.ModelName
    input: Annotated[
        str | list[InputItem],
        Meta(description="Question, or items; the last user message is the question, those before it its history."),
    ]
    instructions: Annotated[str | None, Meta(description="System prompt of this request.")] = None
    stream: Annotated[bool | None, Meta(description="Whether to stream the answer.")] = None
    background: Annotated[
        bool | None, Meta(description="Whether to respond at once, or stream, while the run outlives its connection.")
    ] = None
    store: Annotated[
        bool | None,
        Meta(description="`false` keeps the response out of the request log, of conversations and of later requests."),
    ] = None
    previous_response_id: Annotated[str | None, Meta(description="Response whose conversation continues.")] = None
    named_conversation: Annotated[
        conversation.Name | ConversationParam | None, Meta(description="Conversation of this server to continue.")
    ] = field(default=None, name="conversation")

    temperature: Annotated[
        float | None, Meta(description="Sampling temperature. Like all up to `user`, for backends that support it.")
    ] = None
    top_p: Annotated[float | None, Meta(description="Nucleus sampling threshold.")] = None
    max_output_tokens: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="Maximum tokens, including reasoning.")
    ] = None
    presence_penalty: Annotated[float | None, Meta(description="Penalty for tokens that already occurred.")] = None
    frequency_penalty: Annotated[float | None, Meta(description="Penalty for tokens by their frequency.")] = None
    reasoning: Annotated[ReasoningOptions | None, Meta(description="Options of the reasoning.")] = None
    user: Annotated[str | None, Meta(description="Id of the end user.")] = None

    tools: Annotated[list[ResponseTool] | None, conversation.TOOLS] = None
    tool_choice: Annotated[Choice | None, conversation.TOOL_CHOICE] = None
    parallel_tool_calls: Annotated[bool | None, Meta(description="Whether to allow several tool calls.")] = None
    max_tool_calls: Annotated[int | None, Meta(description="Ignored: no tool is executed here.")] = None
    text: Annotated[TextOptions | None, Meta(description="Options of the answer's text.")] = None

    top_logprobs: Annotated[int | None, Meta(description="Not supported: 0 or absent.")] = None
    prompt: Annotated[Any, Meta(description="Not supported: stored prompts are those of OpenAI's servers.")] = None
    metadata: Annotated[dict[str, Any] | None, Meta(description="Labels of the request.")] = None
    service_tier: Annotated[str | None, Meta(description="Tier of service, for providers with this protocol.")] = None
    truncation: Annotated[str | None, Meta(description="Ignored: a conversation that is too long is rejected.")] = None
    safety_identifier: Annotated[str | None, Meta(description="Id of the end user, for the provider's checks.")] = None
    prompt_cache_key: Annotated[str | None, Meta(description="Key of the provider's prompt cache.")] = None

    @property
    def is_stored(self) -> bool:
        """Whether later requests may refer to the response."""
        return self.store is not False

    @property
    def conversation_id(self) -> str | None:
        """The conversation that the request names, if it does."""
        named = self.named_conversation
        return named.id if isinstance(named, ConversationParam) else named

    @property
    def parameters(self) -> Parameters:
        """Parameters that the request sets, by their names in chat completions, except those that ask for nothing."""
        parameters = given_parameters(self, _PARAMETERS)
        if self.max_output_tokens is not None:
            parameters["max_completion_tokens"] = self.max_output_tokens
        if self.reasoning is not None and self.reasoning.effort is not None:
            parameters["reasoning_effort"] = self.reasoning.effort
        if self.text is not None and self.text.verbosity is not None:
            parameters["verbosity"] = self.text.verbosity
        match self.text and self.text.format:
            case TextFormat(type="json_object"):
                parameters["response_format"] = {"type": "json_object"}
            case TextFormat(type="json_schema") as schema:
                names = ("name", "schema", "strict", "description")
                values = {name: value for name in names if (value := getattr(schema, name)) is not None}
                parameters["response_format"] = {"type": "json_schema", "json_schema": values}
        return MappingProxyType(parameters)


_PARAMETERS = (
    "temperature", "top_p", "presence_penalty", "frequency_penalty", "user", "parallel_tool_calls", "metadata",
    "service_tier", "safety_identifier", "prompt_cache_key",
)  # fmt: skip

_REPEATED = (
    "previous_response_id", "instructions", "max_output_tokens", "max_tool_calls", "parallel_tool_calls",
    "temperature", "top_p", "presence_penalty", "frequency_penalty", "tools", "tool_choice", "text", "reasoning",
    "truncation", "store", "background", "service_tier", "metadata", "user", "safety_identifier", "prompt_cache_key",
)  # fmt: skip

request_decoder = msgspec.json.Decoder(CreateResponseRequest)


def check_request(request: CreateResponseRequest) -> None:
    """Raise InvalidRequest if a field requests a feature that this server does not have."""
    for name in ("prompt", "top_logprobs"):
        if getattr(request, name):
            raise InvalidRequest(f"{name}: not supported by this server; omit it", name)
    if request.conversation_id is not None and request.previous_response_id is not None:
        raise InvalidRequest("conversation: must not be combined with previous_response_id", "conversation")


def raw_input_items(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the input of a valid body as items with all their fields."""
    items = raw["input"]
    return [{"type": "message", "role": "user", "content": items}] if isinstance(items, str) else items


def parse_items(items: Sequence[Mapping[str, Any]]) -> list[InputItem]:
    """Return valid items in the form that ``parse_turns`` takes."""
    return msgspec.convert(items, list[InputItem])


def listed_items(items: Sequence[Mapping[str, Any]], run_id: str) -> list[dict[str, Any]]:
    """Return stored input items as clients list them: with an id, a type, and the content of messages as parts."""
    listed: list[dict[str, Any]] = []
    for index, item in enumerate(items):
        shown = {"id": f"in_{run_id}_{index}", "type": "message", **item}
        if isinstance(content := shown.get("content"), str):
            kind = "output_text" if shown.get("role") == "assistant" else "input_text"
            shown["content"] = [{"type": kind, "text": content}]
        listed.append(shown)
    return listed


def build_stored_request(raw: Mapping[str, Any], items: list[dict[str, Any]] | None) -> StoredRequest:
    """Return the part of a body that the journal of its run keeps, with the input items if they may be stored."""
    return StoredRequest({name: raw[name] for name in _REPEATED if raw.get(name) is not None}, items)

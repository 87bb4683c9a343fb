"""Requests of OpenAI's Chat Completions API: body types, and their translation to turns, tools and parameters."""

from collections.abc import Mapping, Sequence
from itertools import repeat
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from persona_stream.core.content import Part, ProviderFields, Tool, ToolCall, ToolChoice
from persona_stream.core.query import Parameters, Turn
from persona_stream.errors import InvalidRequest
from persona_stream.protocols import conversation
from persona_stream.protocols.attachments import parse_attachment

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
    """Reference to an image, or the image itself as a `data:` URL."""

    url: Annotated[str, Meta(description="`https://…`, or the image itself as `data:image/…;base64,…`.")]
    detail: Annotated[str | None, Meta(description="Level of detail: `low`, `high` or `auto`.")] = None


class FileContent(Struct, frozen=True):
    """File in a message; others than files of text are for backends that read files."""

    filename: Annotated[str | None, Meta(description="Name of the file.")] = None
    file_data: Annotated[str | None, Meta(description="The file itself as a `data:…/…;base64,…` URL.")] = None


class InputAudio(Struct, frozen=True):
    """Recording in a message."""

    data: Annotated[str, Meta(description="The recording as base64.")]
    format: Annotated[str, Meta(description="Its format: `wav` or `mp3`; others where the provider has them.")]


class ContentPart(Struct, frozen=True):
    """Part of a message: text, or an image, a file or a recording for a backend that reads them."""

    type: Annotated[
        str, Meta(description="`text`, `image_url`, `file`, `input_audio`, or `refusal` in a message of the assistant.")
    ]
    text: Annotated[str | None, Meta(description="Text of a `text` part.")] = None
    refusal: Annotated[str | None, Meta(description="Text of a `refusal` part.")] = None
    image_url: Annotated[ImageUrl | str | None, Meta(description="Image of an `image_url` part.")] = None
    file: Annotated[FileContent | None, Meta(description="File of a `file` part.")] = None
    input_audio: Annotated[InputAudio | None, Meta(description="Recording of an `input_audio` part.")] = None


class EarlierFunction(Struct, frozen=True):
    """Function that an earlier answer called."""

    name: Annotated[str, Meta(description="Name of the tool.")]
    arguments: Annotated[
        str | dict[str, Any] | None,
        Meta(description="Arguments as JSON text; an object or `null`, as some clients send them, is accepted."),
    ] = None


class EarlierCall(Struct, frozen=True):
    """Tool call of an earlier answer."""

    id: Annotated[str, Meta(description="Id of the call.")]
    function: Annotated[EarlierFunction, Meta(description="Function that was called.")]
    type: Annotated[Literal["function"], Meta(description="Always `function`.")] = "function"


class RequestMessage(Struct, frozen=True):
    """Message of the conversation."""

    role: Annotated[Role, Meta(description="Author of the message; `developer` is an alias of `system`.")]
    content: Annotated[
        str | list[ContentPart] | None, Meta(description="Text, or a list of parts; text parts are joined by newlines.")
    ] = None
    refusal: Annotated[str | None, Meta(description="Refusal of the assistant in place of an answer.")] = None
    tool_calls: Annotated[list[EarlierCall] | None, Meta(description="Tool calls of an earlier answer.")] = None
    tool_call_id: Annotated[str | None, Meta(description="Id of the call that this message is the result of.")] = None
    function_call: Annotated[None, Meta(description="Not supported: must be `null` or absent.")] = None


_MESSAGE_FIELDS = frozenset({"role", "content", "refusal", "tool_calls", "tool_call_id", "function_call"})
_CALL_FIELDS = frozenset({"id", "type", "function", "index"})
_FUNCTION_FIELDS = frozenset({"name", "arguments"})
_REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking")


def parse_turns(messages: Sequence[RequestMessage], raw: Sequence[Mapping[str, Any]] = ()) -> list[Turn]:
    """Return one turn per message.

    Content of an unsupported type in tool results and before the question becomes a note: a client repeats it in each
    request, and one refusal would be the end of its session.

    Args:
        messages: The messages.
        raw: The same messages with all their fields: providers require some of their own fields back.

    Raises:
        InvalidRequest: The question has content of an unsupported type.
    """
    question = conversation.question_index(messages)
    return [
        _turn(
            message,
            raw[index] if index < len(raw) else {},
            f"messages[{index}].content",
            is_question=index == question,
        )
        for index, message in enumerate(messages)
    ]


def _turn(message: RequestMessage, raw: Mapping[str, Any], where: str, *, is_question: bool) -> Turn:
    match message.content:
        case None:
            parts: tuple[Part, ...] = (message.refusal,) if message.refusal else ()
        case str(text):
            parts = (text,)
        case list(content):
            if message.role == "assistant":  # its own reasoning and audio are not its answer
                content = [part for part in content if part.type in _TEXT_TYPES or part.type in _OTHER_TYPES]
            parse = _part if is_question else _part_or_note
            parts = tuple(parse(part, f"{where}[{index}]") for index, part in enumerate(content))
    raw_calls = raw.get("tool_calls") or repeat({})
    calls = tuple(
        ToolCall(call.id, call.function.name, _arguments_of(call), _call_extras(fields))
        for call, fields in zip(message.tool_calls or (), raw_calls, strict=False)
    )
    extras = conversation.unknown_fields(raw, _MESSAGE_FIELDS)
    reasoning = next((extras[name] for name in _REASONING_FIELDS if isinstance(extras.get(name), str)), UNSET)
    return Turn(
        _ROLES[message.role],
        *conversation.text_and_parts(parts),
        calls,
        message.tool_call_id,
        reasoning=reasoning if message.role == "assistant" else UNSET,
        extras=ProviderFields("openai", extras) if extras else UNSET,
    )


def _arguments_of(call: EarlierCall) -> str:
    arguments = call.function.arguments
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()


def _call_extras(raw: Mapping[str, Any]) -> ProviderFields | UnsetType:
    """Return the fields that the provider of a tool call added to it, such as the signature of a thought."""
    fields = conversation.unknown_fields(raw, _CALL_FIELDS)
    if inner := conversation.unknown_fields(raw.get("function"), _FUNCTION_FIELDS):
        fields["function"] = inner
    return ProviderFields("openai", fields) if fields else UNSET


# The last two are names of the Responses API.
_TEXT_TYPES = ("text", "input_text", "output_text")
_OTHER_TYPES = ("refusal", "image_url", "input_image", "file", "input_file", "input_audio")


def _part_or_note(part: ContentPart, where: str) -> Part:
    try:
        return _part(part, where)
    except InvalidRequest:
        return conversation.omission_note(part.type)


def _part(part: ContentPart, where: str) -> Part:
    match part:
        case ContentPart(type="refusal", refusal=str(text)):
            return text
        case ContentPart(type=kind, text=str(text)) if kind in _TEXT_TYPES:
            return text
        case ContentPart(type="image_url" | "input_image", image_url=ImageUrl(url=url, detail=detail)):
            return parse_attachment(url, where, detail=detail)
        case ContentPart(type="image_url" | "input_image", image_url=str(url)):
            return parse_attachment(url, where)
        case ContentPart(type="file", file=FileContent(filename=name, file_data=str(data))):
            return conversation.text_or_file(parse_attachment(data, where, type="file", name=name))
        case ContentPart(type="input_audio", input_audio=InputAudio(data=data, format=kind)):
            return parse_attachment(f"data:audio/{kind};base64,{data}", where, type="audio")
        case ContentPart(type="file" | "input_file"):
            raise InvalidRequest(f"{where}.file.file_data: is required; files are not stored here", "messages")
        case ContentPart(type="text" | "refusal" | "image_url" | "input_audio"):
            raise InvalidRequest(f"{where}.{part.type}: is required", "messages")
        case _:
            kinds = "text, image_url, file or input_audio"
            raise InvalidRequest(f"{where}: unsupported type {part.type[:40]!r}; must be {kinds}", "messages")


class FunctionDefinition(Struct, frozen=True):
    """Function that the client offers."""

    name: Annotated[conversation.Name, Meta(description="Name of the function.")]
    description: Annotated[str | None, Meta(description="Purpose of the function, for the model.")] = None
    parameters: Annotated[dict[str, Any] | None, Meta(description="JSON Schema of the arguments, if any.")] = None
    strict: Annotated[bool | None, Meta(description="Whether the arguments must match the schema.")] = None


class RequestTool(Struct, frozen=True):
    """Tool that the client offers; only functions are supported.

    Some clients send the fields of the function in its place, as in the Responses API.
    """

    function: Annotated[FunctionDefinition | None, Meta(description="Definition of the function.")] = None
    type: Annotated[Literal["function"], Meta(description="Always `function`.")] = "function"
    name: Annotated[conversation.Name | None, Meta(description="Name, without `function`.")] = None
    description: Annotated[str | None, Meta(description="Purpose, without `function`.")] = None
    parameters: Annotated[dict[str, Any] | None, Meta(description="JSON Schema, without `function`.")] = None
    strict: Annotated[bool | None, Meta(description="Whether the schema is strict, without `function`.")] = None


class ChosenFunction(Struct, frozen=True):
    """Name of the function that must be called."""

    name: Annotated[conversation.Name, Meta(description="Name of the tool to call.")]


class AllowedTool(Struct, frozen=True):
    """Tool that may be called."""

    function: Annotated[ChosenFunction, Meta(description="Function that may be called.")]
    type: Annotated[Literal["function"], Meta(description="Always `function`.")] = "function"


class AllowedTools(Struct, frozen=True):
    """Restriction to some of the tools."""

    tools: Annotated[list[AllowedTool], Meta(min_length=1, description="Tools that may be called.")]
    mode: Annotated[Literal["auto", "required"], Meta(description="Whether one of them must be called.")] = "auto"


class ChosenTool(Struct, frozen=True):
    """Tool that must be called, or one of the words as an object, as some clients send it."""

    function: Annotated[ChosenFunction | None, Meta(description="Function to call, with type `function`.")] = None
    type: Annotated[
        Literal["function", "auto", "none", "required", "any", "tool", "allowed_tools"],
        Meta(description="`function`, or another form that clients send: a word, or `allowed_tools`."),
    ] = "function"
    name: Annotated[conversation.Name | None, Meta(description="Function to call, in place of `function`.")] = None
    allowed_tools: Annotated[AllowedTools | None, Meta(description="Tools, with type `allowed_tools`.")] = None


Choice = Literal["auto", "none", "required", "any"] | ChosenTool
_MODES: Mapping[str, conversation.ChoiceMode] = {
    "auto": "auto",
    "none": "none",
    "required": "required",
    "any": "required",  # Anthropic's word
    "function": "named",
    "tool": "named",  # Anthropic's word
}


def parse_tools(tools: list[RequestTool] | None, choice: Choice | None = None) -> tuple[Tool, ...]:
    """Return the tools of a request that its choice allows.

    Raises:
        InvalidRequest: A tool has no name, or an allowed tool is not among the tools.
    """
    parsed = tuple(_parse_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools or ()))
    if not isinstance(choice, ChosenTool) or choice.type != "allowed_tools" or choice.allowed_tools is None:
        return parsed
    return conversation.select_tools(parsed, {tool.function.name for tool in choice.allowed_tools.tools})


def _parse_tool(tool: RequestTool, where: str) -> Tool:
    definition = tool.function or tool
    if definition.name is None:
        raise InvalidRequest(f"{where}.function: is required", "tools")
    return Tool(definition.name, definition.description, definition.parameters or {}, definition.strict)


def parse_tool_choice(choice: Choice | None, tools: tuple[Tool, ...]) -> ToolChoice | None:
    """Return the tool choice of a request, or ``None`` if it leaves the choice to the backend.

    The words may be objects, such as ``{"type": "auto"}`` (BerriAI/litellm #12098), and a function may be named
    directly, as in the Responses API.

    Raises:
        InvalidRequest: The choice is incomplete, or the chosen tool is not among the tools.
    """
    match choice:
        case None:
            return None
        case str(word):
            return conversation.validate_tool_choice(_MODES[word], None, tools)
        case ChosenTool(type="allowed_tools", allowed_tools=AllowedTools(mode=mode)):
            return conversation.validate_tool_choice(mode, None, tools)
        case ChosenTool(type="function" | "tool", function=ChosenFunction(name=name)):
            return conversation.validate_tool_choice("named", name, tools)
        case ChosenTool(type="function" | "tool", name=str(name)):
            return conversation.validate_tool_choice("named", name, tools)
        case ChosenTool(type="function" | "tool" | "allowed_tools" as kind):
            field = "allowed_tools" if kind == "allowed_tools" else "function"
            raise InvalidRequest(f"tool_choice.{field}: is required", "tool_choice")
        case ChosenTool(type=word):
            return conversation.validate_tool_choice(_MODES[word], None, tools)


_PARAMETERS = (
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "presence_penalty",
    "frequency_penalty", "reasoning_effort", "user", "parallel_tool_calls", "n", "logprobs", "top_logprobs",
    "modalities", "audio", "logit_bias", "metadata", "store", "service_tier", "verbosity", "prediction", "top_k",
    "min_p", "repetition_penalty", "safety_identifier", "prompt_cache_key", "thinking", "enable_thinking",
    "thinking_budget", "chat_template_kwargs", "reasoning",
)  # fmt: skip

# Values that ask for nothing but a plain text; some providers reject the field itself.
_NEUTRAL_VALUES: Mapping[str, Sequence[object]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "modalities": ([], ["text"]),
}

CONVERSATION_LABEL = "conversation_id"

Positive = Annotated[int, Meta(ge=1)]
MaxTokens = Annotated[
    Annotated[int, Meta(ge=-1, extra_json_schema={"not": {"const": 0}})] | None,
    Meta(description="Maximum tokens of the answer, or -1 for no limit."),
]
RequestMetadata = Annotated[
    dict[str, Any] | None,
    Meta(description="Labels of the request; `conversation_id` names a conversation of this server."),
]
ChoiceCount = Annotated[
    Annotated[int, Meta(ge=1, le=128)] | None,
    Meta(description="Number of choices; above 1, rejected if the backend cannot give several."),
]


def given_parameters(request: Struct, names: Sequence[str]) -> dict[str, Any]:
    """Return those of the parameters that a request sets, except those that ask for nothing."""
    parameters = {
        name: value
        for name in names
        if (value := getattr(request, name)) is not None and value not in _NEUTRAL_VALUES.get(name, ())
    }
    if parameters.get("max_tokens") == -1:  # no limit, for clients of local servers (langchain-ai/langchain #10822)
        del parameters["max_tokens"]
    if isinstance(stop := parameters.get("stop"), list):
        parameters["stop"] = tuple(stop)
    if CONVERSATION_LABEL in parameters.get("metadata", ()):  # for this server, not for a provider
        labels = {name: value for name, value in parameters.pop("metadata").items() if name != CONVERSATION_LABEL}
        parameters.update({"metadata": labels} if labels else {})
    return parameters


def conversation_label(metadata: Mapping[str, Any] | None) -> object:
    """Return the conversation that the metadata of a request names, if they do."""
    return None if metadata is None else metadata.get(CONVERSATION_LABEL)


class StreamOptions(Struct, frozen=True):
    """Options of a stream."""

    include_usage: Annotated[
        bool | None, Meta(description="Whether to end the stream with a chunk of token counts, without choices.")
    ] = None


class ChatCompletionRequest(Struct, frozen=True):
    """Request for a chat completion. Unknown fields are ignored; `null` means absent."""

    model: conversation.ModelName
    messages: Annotated[list[RequestMessage], conversation.MESSAGES]
    stream: Annotated[bool | None, Meta(description="Whether to stream the answer.")] = None
    stream_options: Annotated[StreamOptions | None, Meta(description="Options of the stream.")] = None
    return_progress: Annotated[
        bool | None, Meta(description="Whether heartbeats of the stream have `prompt_progress`, as in llama.cpp.")
    ] = None

    temperature: Annotated[
        float | None, Meta(description="Sampling temperature. Like all up to `user`, for backends that support it.")
    ] = None
    top_p: Annotated[float | None, Meta(description="Nucleus sampling threshold.")] = None
    max_tokens: MaxTokens = None
    max_completion_tokens: Annotated[Positive | None, Meta(description="Maximum tokens, including reasoning.")] = None
    stop: Annotated[str | list[str] | None, Meta(description="Sequences that end the answer.")] = None
    seed: Annotated[int | None, Meta(description="Seed for reproducible sampling.")] = None
    presence_penalty: Annotated[float | None, Meta(description="Penalty for tokens that already occurred.")] = None
    frequency_penalty: Annotated[float | None, Meta(description="Penalty for tokens by their frequency.")] = None
    reasoning_effort: Annotated[str | None, Meta(description="Effort that the model spends on reasoning.")] = None
    user: Annotated[str | None, Meta(description="Id of the end user.")] = None

    tools: Annotated[list[RequestTool] | None, conversation.TOOLS] = None
    tool_choice: Annotated[Choice | None, conversation.TOOL_CHOICE] = None
    parallel_tool_calls: Annotated[bool | None, Meta(description="Whether to allow several tool calls.")] = None
    response_format: Annotated[
        dict[str, Any] | None, Meta(description="Format of the answer; rejected if the backend supports text only.")
    ] = None

    n: ChoiceCount = None
    functions: Annotated[list[Any] | None, Meta(description="Not supported: must be empty or absent.")] = None
    function_call: Annotated[str | dict[str, Any] | None, Meta(description="Not supported: `none` or absent.")] = None
    logprobs: Annotated[bool | None, Meta(description="Whether to return log probabilities; else rejected.")] = None
    top_logprobs: Annotated[int | None, Meta(description="Number of alternatives for each token; as `logprobs`.")] = (
        None
    )
    modalities: Annotated[
        list[str] | None, Meta(description="Output types; others than `text` are rejected if the backend has none.")
    ] = None
    audio: Annotated[dict[str, Any] | None, Meta(description="Format of the spoken answer; as `modalities`.")] = None

    logit_bias: Annotated[
        dict[str, Any] | None, Meta(description="Bias of tokens. Like all below, for providers with this protocol.")
    ] = None
    metadata: RequestMetadata = None
    store: Annotated[bool | None, Meta(description="Whether the provider keeps the completion.")] = None
    service_tier: Annotated[str | None, Meta(description="Tier of service.")] = None
    verbosity: Annotated[str | None, Meta(description="Length of the answer.")] = None
    prediction: Annotated[dict[str, Any] | None, Meta(description="Predicted content of the answer.")] = None
    top_k: Annotated[int | None, Meta(description="Candidate tokens per step.")] = None
    min_p: Annotated[float | None, Meta(description="Minimum probability of a token.")] = None
    repetition_penalty: Annotated[float | None, Meta(description="Penalty for tokens that already occurred.")] = None
    safety_identifier: Annotated[str | None, Meta(description="Id of the end user, for the provider's checks.")] = None
    prompt_cache_key: Annotated[str | None, Meta(description="Key of the provider's prompt cache.")] = None
    thinking: Annotated[Any, Meta(description="Whether and how much to reason, as DeepSeek and others have it.")] = None
    enable_thinking: Annotated[bool | None, Meta(description="The same, as Qwen has it.")] = None
    thinking_budget: Annotated[int | None, Meta(description="Maximum tokens of the reasoning.")] = None
    chat_template_kwargs: Annotated[dict[str, Any] | None, Meta(description="Options of vLLM's templates.")] = None
    reasoning: Annotated[dict[str, Any] | None, Meta(description="Options of the reasoning, as OpenRouter has it.")] = (
        None
    )

    @property
    def parameters(self) -> Parameters:
        """Parameters that the request sets, by name, except those that ask for nothing."""
        parameters = given_parameters(self, _PARAMETERS)
        if self.response_format not in (None, {"type": "text"}):
            parameters["response_format"] = self.response_format
        return MappingProxyType(parameters)

    @property
    def includes_usage(self) -> bool:
        """Whether a stream must end with the token counts."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @property
    def returns_progress(self) -> bool:
        """Whether the heartbeats of a stream must have the progress in numbers."""
        return bool(self.return_progress)


completion_decoder = msgspec.json.Decoder(ChatCompletionRequest)

_UNSUPPORTED: Mapping[str, Sequence[object]] = {"functions": (None, []), "function_call": (None, "none")}


def check_completion_request(request: ChatCompletionRequest) -> None:
    """Raise InvalidRequest if a field requests a feature that no backend supports.

    Ignoring it would mislead the client.
    """
    for field, values in _UNSUPPORTED.items():
        if getattr(request, field) not in values:
            raise InvalidRequest(f"{field}: not supported by this server; omit it", field)
    check_max_tokens(request.max_tokens)


def check_max_tokens(limit: int | None) -> None:
    """Raise InvalidRequest if the limit allows no token."""
    if limit == 0:
        raise InvalidRequest("max_tokens: must be at least 1, or -1 for no limit", "max_tokens")

"""Requests of the AI SDK's ``useChat``: body types, and their translation to turns and tools.

A message of the assistant consists of steps. As in ``convertToModelMessages`` of the package, each step becomes a turn
of the assistant with its calls, and a turn with the result of each call.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct

from persona_stream.core.content import AttachmentType, Part, Tool, ToolCall
from persona_stream.core.query import Turn
from persona_stream.errors import InvalidRequest
from persona_stream.protocols import conversation
from persona_stream.protocols.attachments import parse_attachment

_TOOL_PREFIX = "tool-"


class UIMessagePart(Struct, frozen=True, rename="camel"):
    """Part of a message. Parts of other types, such as sources and data, are ignored."""

    type: Annotated[str, Meta(description="`text`, `reasoning`, `file`, `step-start`, `tool-…` or `dynamic-tool`.")]
    text: Annotated[str | None, Meta(description="Text of a `text` or `reasoning` part.")] = None
    media_type: Annotated[str | None, Meta(description="Media type of a `file` part.")] = None
    url: Annotated[str | None, Meta(description="Address of a `file` part, or the file as a `data:` URL.")] = None
    filename: Annotated[str | None, Meta(description="Name of a `file` part.")] = None
    tool_call_id: Annotated[str | None, Meta(description="Id of a tool call.")] = None
    tool_name: Annotated[str | None, Meta(description="Name of the tool of a `dynamic-tool` part.")] = None
    state: Annotated[
        str | None, Meta(description="State of a tool call; a call without a result is omitted from the history.")
    ] = None
    input: Annotated[Any, Meta(description="Arguments of a tool call.")] = None
    raw_input: Annotated[Any, Meta(description="Arguments of a tool call that are not valid JSON.")] = None
    output: Annotated[Any, Meta(description="Result of a tool call.")] = None
    error_text: Annotated[str | None, Meta(description="Error of a tool call.")] = None


class RequestUIMessage(Struct, frozen=True):
    """Message of the chat."""

    role: Annotated[Literal["system", "user", "assistant"], Meta(description="Author of the message.")]
    parts: Annotated[list[UIMessagePart], Meta(description="Content of the message.")]
    id: Annotated[str | None, Meta(description="Id of the message.")] = None


class UITool(Struct, frozen=True, rename="camel"):
    """Tool of the client."""

    description: Annotated[str | None, Meta(description="Purpose of the tool, for the model.")] = None
    parameters: Annotated[dict[str, Any] | None, Meta(description="JSON Schema of the arguments.")] = None


class UIChatRequest(Struct, frozen=True, rename="camel"):
    """Request of `useChat`. Unknown fields are ignored; `null` means absent."""

    id: Annotated[conversation.Name, Meta(description="Id of the chat: the conversation id here.")]
    messages: Annotated[list[RequestUIMessage], conversation.MESSAGES]
    trigger: Annotated[str | None, Meta(description="`submit-message` or `regenerate-message`.")] = None
    model: Annotated[
        conversation.ModelName | None, Meta(description="Persona or model; optional on a server without personas.")
    ] = None
    system: Annotated[str | None, Meta(description="Instructions, before those in the messages.")] = None
    tools: Annotated[dict[conversation.Name, UITool] | None, conversation.TOOLS] = None

    @property
    def continued_message_id(self) -> str:
        """Id of the message to which the client appends the answer, after tool results; empty for a new message."""
        last = self.messages[-1]
        return (last.id or "") if last.role == "assistant" else ""


request_decoder = msgspec.json.Decoder(UIChatRequest)


def parse_turns(request: UIChatRequest) -> list[Turn]:
    """Return the turns of the conversation.

    Files of an unsupported type before the question become a note: the client repeats them in each request.

    Raises:
        InvalidRequest: The question has a file of an unsupported type.
    """
    messages = request.messages
    question = conversation.question_index(messages)
    turns = [Turn("system", request.system)] if request.system else []
    for index, message in enumerate(messages):
        where = f"messages[{index}].parts"
        if message.role == "assistant":
            turns.extend(_steps(message.parts))
        else:
            parts = _content(message.parts, where, is_question=index == question)
            turns.append(Turn(message.role, *conversation.text_and_parts(parts)))
    return turns


def _content(parts: Sequence[UIMessagePart], where: str, *, is_question: bool) -> tuple[Part, ...]:
    content: list[Part] = []
    for index, part in enumerate(parts):
        match part:
            case UIMessagePart(type="text", text=str(text)):
                content.append(text)
            case UIMessagePart(type="file", url=str(url)):
                try:
                    content.append(_file(url, part, f"{where}[{index}]"))
                except InvalidRequest:
                    if is_question:
                        raise
                    content.append(conversation.omission_note(f"file ({part.media_type})"))
    return tuple(content)


def _file(url: str, part: UIMessagePart, where: str) -> Part:
    kind = (part.media_type or "").partition("/")[0]
    type: AttachmentType = "image" if kind == "image" else "audio" if kind == "audio" else "file"
    return conversation.text_or_file(parse_attachment(url, f"{where}.url", type=type, name=part.filename))


def _steps(parts: Sequence[UIMessagePart]) -> Iterator[Turn]:
    step: list[UIMessagePart] = []
    for part in parts:
        if part.type == "step-start":
            yield from _step(step)
            step = []
        else:
            step.append(part)
    yield from _step(step)


def _step(parts: Sequence[UIMessagePart]) -> Iterator[Turn]:
    texts = [part.text for part in parts if part.type == "text" and part.text]
    reasoning = [part.text for part in parts if part.type == "reasoning" and part.text]
    results = [result for part in parts if (result := _tool_result(part)) is not None]
    if texts or results:
        calls = tuple(call for call, _ in results)
        yield Turn("assistant", "\n".join(texts), calls=calls, reasoning="\n".join(reasoning) if reasoning else UNSET)
    yield from (turn for _, turn in results)


def _tool_result(part: UIMessagePart) -> tuple[ToolCall, Turn] | None:
    """Return a tool call and the turn of its result; ``None`` for other parts and for a call without a result."""
    name = part.tool_name if part.type == "dynamic-tool" else part.type.removeprefix(_TOOL_PREFIX)
    if not part.tool_call_id or not name or not (part.type.startswith(_TOOL_PREFIX) or part.type == "dynamic-tool"):
        return None
    match part.state:
        case "output-available":
            output = part.output if isinstance(part.output, str) else _dump(part.output)
            failed = False
        case "output-error":
            output = part.error_text or "The tool failed"
            failed = True
        case "output-denied":
            output = "The user denied this tool call"
            failed = True
        case _:
            return None
    arguments = part.raw_input if isinstance(part.raw_input, str) else _dump(part.input)
    call = ToolCall(part.tool_call_id, name, arguments)
    return call, Turn("tool", output, call_id=part.tool_call_id, failed=failed)


def _dump(value: object) -> str:
    return msgspec.json.encode({} if value is None else value).decode()


def parse_tools(tools: Mapping[str, UITool] | None) -> tuple[Tool, ...]:
    """Return the tools of a request."""
    return tuple(Tool(name, tool.description, tool.parameters or {}) for name, tool in (tools or {}).items())

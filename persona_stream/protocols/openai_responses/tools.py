"""Tools of the Responses API: functions, functions in namespaces, and custom tools, which take plain text.

Backends know functions only. A function in a namespace gets both names in one, and a custom tool one parameter; a call
is translated back with the tools of its request. Tools that OpenAI's servers would execute are rejected.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from persona_stream.core.content import Tool, ToolCall, ToolChoice
from persona_stream.errors import InvalidRequest
from persona_stream.protocols import conversation
from persona_stream.protocols.openai_responses import schemas

_CUSTOM_INPUT = "input"
_CUSTOM_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {_CUSTOM_INPUT: {"type": "string", "description": "Input of the tool, as plain text."}},
    "required": [_CUSTOM_INPUT],
    "additionalProperties": False,
}


class ResponseTool(Struct, frozen=True):
    """Tool that the client offers."""

    type: Annotated[
        str, Meta(description="`function`, `custom`, or `namespace`; tools of OpenAI's servers are rejected.")
    ]
    name: Annotated[conversation.Name | None, Meta(description="Name of the tool, or of the namespace.")] = None
    description: Annotated[str | None, Meta(description="Purpose of the tool, for the model.")] = None
    parameters: Annotated[dict[str, Any] | None, Meta(description="JSON Schema of a function's arguments.")] = None
    strict: Annotated[bool | None, Meta(description="Whether the arguments must match the schema.")] = None
    tools: Annotated[list["ResponseTool"] | None, Meta(description="Tools of a namespace.")] = None
    external_web_access: Annotated[
        bool | None, Meta(description="`false` for a `web_search` that is ignored beside other tools.")
    ] = None


class AllowedResponseTool(Struct, frozen=True):
    """Tool that may be called."""

    name: Annotated[conversation.Name, Meta(description="Name of the tool.")]
    type: Annotated[Literal["function", "custom"], Meta(description="Kind of the tool.")] = "function"


class ResponseToolChoice(Struct, frozen=True):
    """Tool that must be called, or restriction to some of the tools."""

    type: Annotated[str, Meta(description="`function`, `custom` or `allowed_tools`.")]
    name: Annotated[conversation.Name | None, Meta(description="Tool to call.")] = None
    mode: Annotated[
        Literal["auto", "required"] | None, Meta(description="Whether one of the allowed tools must be called.")
    ] = None
    tools: Annotated[list[AllowedResponseTool] | None, Meta(description="Tools that may be called.")] = None


Choice = Literal["auto", "none", "required"] | ResponseToolChoice


def _flatten(tools: Sequence[ResponseTool]) -> Iterator[tuple[ResponseTool, str | None]]:
    """Yield the tools, each with its namespace."""
    for tool in tools:
        if tool.type == "namespace":
            yield from ((inner, tool.name) for inner in tool.tools or ())
        else:
            yield tool, None


def function_name(name: str, namespace: str | None) -> str:
    """Return the name by which backends know a function."""
    return f"{namespace}__{name}" if namespace else name


def _is_ignored(tool: ResponseTool) -> bool:
    # Codex sends this one with every request: its own servers would answer from a cache.
    return tool.type == "web_search" and tool.external_web_access is False


def parse_tools(tools: Sequence[ResponseTool] | None, choice: Choice | None) -> tuple[Tool, ...]:
    """Return the tools of a request that its choice allows.

    Raises:
        InvalidRequest: A tool is one of OpenAI's servers, or has no name, or an allowed tool is not among the tools.
    """
    parsed: list[Tool] = []
    for index, (tool, namespace) in enumerate(_flatten(tools or ())):
        if tool.type not in ("function", "custom"):
            if _is_ignored(tool) and len(tools or ()) > 1:
                continue
            hosted = f"tools[{index}]: {tool.type[:40]!r} is executed by OpenAI's servers and not supported here"
            raise InvalidRequest(f"{hosted}; omit it, or offer it as a function", "tools")
        if tool.name is None:
            raise InvalidRequest(f"tools[{index}].name: is required", "tools")
        schema = (tool.parameters or {}) if tool.type == "function" else _CUSTOM_SCHEMA
        parsed.append(Tool(function_name(tool.name, namespace), tool.description, schema, tool.strict))
    if isinstance(choice, ResponseToolChoice) and choice.type == "allowed_tools":
        return conversation.select_tools(tuple(parsed), {tool.name for tool in choice.tools or ()})
    return tuple(parsed)


def parse_tool_choice(choice: Choice | None, tools: tuple[Tool, ...]) -> ToolChoice | None:
    """Return the tool choice of a request, or ``None`` if it leaves the choice to the backend.

    Raises:
        InvalidRequest: The choice is incomplete, or the chosen tool is not among the tools.
    """
    match choice:
        case None:
            return None
        case str(word):
            return conversation.validate_tool_choice(word, None, tools)
        case ResponseToolChoice(type="allowed_tools", mode=mode):
            return conversation.validate_tool_choice(mode or "auto", None, tools)
        case ResponseToolChoice(type="function" | "custom", name=str(name)):
            return conversation.validate_tool_choice("named", name, tools)
        case ResponseToolChoice(type="function" | "custom"):
            raise InvalidRequest("tool_choice.name: is required", "tool_choice")
        case ResponseToolChoice(type=kind):
            raise InvalidRequest(
                f"tool_choice: {kind[:40]!r} is executed by OpenAI's servers and not supported here", "tool_choice"
            )


def custom_tool_arguments(text: str) -> str:
    """Return the arguments, as JSON, of the function that stands for a custom tool."""
    return msgspec.json.encode({_CUSTOM_INPUT: text}).decode()


def _custom_tool_input(arguments: str) -> str:
    try:
        return msgspec.json.decode(arguments, type=dict[str, str])[_CUSTOM_INPUT]
    except (msgspec.MsgspecError, KeyError, ValueError):
        return arguments  # the client's own check reports it


def call_item(
    call: ToolCall, item_id: str, tools: Sequence[ResponseTool]
) -> schemas.OutputFunctionCall | schemas.OutputCustomToolCall:
    """Return the output item of a call, with the tools of the request."""
    found = {function_name(tool.name or "", namespace): (tool, namespace) for tool, namespace in _flatten(tools)}
    tool, namespace = found.get(call.name, (None, None))
    if tool is not None and tool.type == "custom":
        text = _custom_tool_input(call.arguments)
        return schemas.OutputCustomToolCall(id=item_id, call_id=call.id, name=call.name, input=text, status="completed")
    item = schemas.OutputFunctionCall(
        id=item_id,
        call_id=call.id,
        name=call.name if tool is None else tool.name or "",
        arguments=call.arguments,
        status="completed",
    )
    return msgspec.structs.replace(item, namespace=namespace) if namespace else item

"""The tools of Anthropic's clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from persona_stream.core.content import Tool, ToolChoice
from persona_stream.errors import InvalidRequest
from persona_stream.web.v1.tools import Name, chosen


class MessageTool(Struct, frozen=True):
    """A tool that the client has. Those of a server's cannot be taken here."""

    name: Name
    input_schema: dict[str, Any]
    type: Literal["custom"] | None = None
    description: str | None = None
    strict: bool | None = None


Choice = Literal["auto", "any", "tool", "none"]
_MODES: Mapping[Choice, Literal["auto", "none", "required", "named"]] = {
    "auto": "auto",
    "any": "required",
    "tool": "named",
    "none": "none",
}


class MessageToolChoice(Struct, frozen=True):
    """Whether a tool may, must or must not be called, or which one."""

    type: Choice
    name: Name | None = None
    disable_parallel_tool_use: bool | None = None


def tools_of(asked: list[MessageTool] | None) -> tuple[Tool, ...]:
    """Give the tools of a request."""
    return tuple(Tool(tool.name, tool.description, tool.input_schema, tool.strict) for tool in asked or ())


def choice_of(asked: MessageToolChoice | None, tools: tuple[Tool, ...]) -> ToolChoice | None:
    """Give the choice of a request.

    Raises:
        InvalidRequest: there is no such tool.
    """
    if asked is None:
        return None
    if asked.type == "tool" and asked.name is None:
        raise InvalidRequest("tool_choice.name: is required", "tool_choice")
    return chosen(_MODES[asked.type], asked.name if asked.type == "tool" else None, tools)

"""The tools of OpenAI's clients."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from persona_stream.core.content import Tool, ToolChoice
from persona_stream.web.v1.tools import Name, chosen


class FunctionDefinition(Struct, frozen=True):
    """A function that the client has."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class RequestTool(Struct, frozen=True):
    """A tool. Only functions can be taken here."""

    function: FunctionDefinition
    type: Literal["function"] = "function"


class ChosenFunction(Struct, frozen=True):
    """The function that must be called."""

    name: Name


class ChosenTool(Struct, frozen=True):
    """The tool that must be called."""

    function: ChosenFunction
    type: Literal["function"] = "function"


Choice = Literal["auto", "none", "required"] | ChosenTool


def tools_of(asked: list[RequestTool] | None) -> tuple[Tool, ...]:
    """Give the tools of a request."""
    return tuple(
        Tool(tool.function.name, tool.function.description, tool.function.parameters or {}, tool.function.strict)
        for tool in asked or ()
    )


def choice_of(asked: Choice | None, tools: tuple[Tool, ...]) -> ToolChoice | None:
    """Give the choice of a request.

    Raises:
        InvalidRequest: there is no such tool.
    """
    if asked is None:
        return None
    if isinstance(asked, ChosenTool):
        return chosen("named", asked.function.name, tools)
    return chosen(asked, None, tools)

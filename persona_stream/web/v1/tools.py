"""What both protocols have rules for in the same way: the names of tools, and the choice among them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from persona_stream.core.content import Tool, ToolChoice
from persona_stream.errors import InvalidRequest

# Not `$` at the end: in Python it lets a newline pass.
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,128}(?![\s\S])")]


def chosen(
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

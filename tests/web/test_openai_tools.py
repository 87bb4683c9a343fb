"""The tools of OpenAI's clients."""

from __future__ import annotations

import msgspec
import pytest

from persona_stream.core.content import Tool, ToolChoice
from persona_stream.errors import InvalidRequest
from persona_stream.protocols.openai.decoder import (
    Choice,
    ChosenFunction,
    ChosenTool,
    FunctionDefinition,
    RequestTool,
    choice_of,
    tools_of,
)

WEATHER = Tool("weather", "Tell it.", {"type": "object"}, True)


def named(name: str) -> ChosenTool:
    return ChosenTool(ChosenFunction(name))


def test_a_tool_is_what_was_sent():
    """Without parameters it takes none."""
    asked = [RequestTool(FunctionDefinition("weather", "Tell it.", {"type": "object"}, True)),
             RequestTool(FunctionDefinition("now"))]  # fmt: skip
    assert tools_of(asked) == (WEATHER, Tool("now", None, {}))
    assert tools_of(None) == tools_of([]) == ()


@pytest.mark.parametrize(
    ("asked", "tools", "choice"),
    [
        (None, (WEATHER,), None),
        ("auto", (WEATHER,), ToolChoice("auto")),
        ("none", (WEATHER,), ToolChoice("none")),
        ("required", (WEATHER,), ToolChoice("required")),
        (named("weather"), (WEATHER,), ToolChoice("named", "weather")),
        ("none", (), None),
        ("auto", (), None),
    ],
)
def test_a_choice_is_what_was_sent(asked: Choice | None, tools: tuple[Tool, ...], choice: ToolChoice | None):
    """Without tools there is nothing to choose."""
    assert choice_of(asked, tools) == choice


@pytest.mark.parametrize(("asked", "tools"), [("required", ()), (named("time"), (WEATHER,)), (named("weather"), ())])
def test_a_choice_of_what_there_is_not_is_refused(asked: Choice, tools: tuple[Tool, ...]):
    """A provider would say so after a long wait."""
    with pytest.raises(InvalidRequest, match="no such tool") as caught:
        choice_of(asked, tools)
    assert caught.value.field == "tool_choice"


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "custom", "function": {"name": "f"}},
        {"type": "function"},
        {"function": {"name": ""}},
        {"function": {"name": "two words"}},
        {"function": {"name": "x" * 129}},
        {"function": {"name": "f\r\nx: y"}},
        {"function": {"name": "f", "parameters": []}},
    ],
)
def test_what_is_no_function_is_refused(tool: dict[str, object]):
    """Before it gets anywhere."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(tool, RequestTool)

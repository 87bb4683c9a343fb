"""Tests of the tools of the Responses API: functions, namespaces, custom tools, and those that are rejected."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from persona_stream.core.content import Tool, ToolCall, ToolChoice
from persona_stream.errors import InvalidRequest
from persona_stream.protocols.openai_responses.tools import (
    Choice,
    ResponseTool,
    call_item,
    custom_tool_arguments,
    parse_tool_choice,
    parse_tools,
)

WEATHER = {"type": "function", "name": "weather", "description": "Weather of a city.", "parameters": {"type": "object"}}
CLOCK = {"type": "function", "name": "clock", "strict": True}
PATCH = {"type": "custom", "name": "patch", "description": "Apply a patch."}
AGENTS = {"type": "namespace", "name": "agents", "tools": [{"type": "function", "name": "close"}]}
CACHED = {"type": "web_search", "external_web_access": False}


def tools(*raw: dict[str, Any]) -> list[ResponseTool]:
    return msgspec.convert(raw, list[ResponseTool])


def choice(raw: object) -> Choice:
    return msgspec.convert(raw, Choice)


def test_functions_and_custom_tools_are_functions_for_a_backend():
    """A function in a namespace has both names, and a custom tool takes one text."""
    weather, clock, patch, close = parse_tools(tools(WEATHER, CLOCK, PATCH, AGENTS), None)
    assert weather == Tool("weather", "Weather of a city.", {"type": "object"})
    assert clock == Tool("clock", None, {}, strict=True)
    assert (patch.name, patch.schema["required"]) == ("patch", ["input"])
    assert close.name == "agents__close"


@pytest.mark.parametrize("kind", ["web_search", "file_search", "code_interpreter", "computer_use_preview", "mcp"])
def test_tools_of_openai_are_rejected_by_name(kind: str):
    """A model that offers a search which never happens would mislead its user."""
    with pytest.raises(InvalidRequest, match=rf"^tools\[1\]: '{kind}' is executed by OpenAI's servers") as caught:
        parse_tools(tools(WEATHER, {"type": kind}), None)
    assert caught.value.field == "tools"


def test_the_search_that_codex_always_sends_is_ignored_beside_other_tools():
    """It has no access to the web. Alone it would be the only tool, and is rejected."""
    assert [tool.name for tool in parse_tools(tools(CACHED, WEATHER), None)] == ["weather"]
    with pytest.raises(InvalidRequest, match="web_search"):
        parse_tools(tools(CACHED), None)


def test_a_tool_without_a_name_is_rejected():
    """The error names the field."""
    with pytest.raises(InvalidRequest, match=r"^tools\[0\]\.name: is required"):
        parse_tools(tools({"type": "function"}), None)


ALLOWED = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "clock"}]}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "clock"}, ToolChoice("named", "clock")),
        ({"type": "custom", "name": "patch"}, ToolChoice("named", "patch")),
        (ALLOWED, ToolChoice("required")),
    ],
)
def test_choices(raw: object, expected: ToolChoice):
    """A word, or an object."""
    offered = parse_tools(tools(WEATHER, CLOCK, PATCH), choice(raw))
    assert parse_tool_choice(choice(raw), offered) == expected


def test_allowed_tools_are_the_only_ones():
    """A backend knows no such restriction."""
    assert [tool.name for tool in parse_tools(tools(WEATHER, CLOCK), choice(ALLOWED))] == ["clock"]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({"type": "function", "name": "other"}, "the tool is not in tools"),
        ({"type": "function"}, r"tool_choice\.name: is required"),
        ({"type": "web_search"}, "'web_search' is executed by OpenAI's servers"),
        ({"type": "allowed_tools", "tools": [{"name": "other"}]}, "the tool is not in tools"),
        ({"type": "allowed_tools"}, "the tool is not in tools"),
    ],
)
def test_a_choice_without_its_tool_is_rejected(raw: object, text: str):
    """The error names the field."""
    with pytest.raises(InvalidRequest, match=text) as caught:
        parse_tool_choice(choice(raw), parse_tools(tools(WEATHER), choice(raw)))
    assert caught.value.field == "tool_choice"


def test_calls_have_the_form_of_their_tools():
    """A custom tool gets its text back, and a function its namespace."""
    offered = tools(WEATHER, PATCH, AGENTS)

    def item(name: str, arguments: str) -> dict[str, Any]:
        return json.loads(msgspec.json.encode(call_item(ToolCall("call_1", name, arguments), "call_x_0", offered)))

    plain = {"type": "function_call", "id": "call_x_0", "call_id": "call_1", "status": "completed"}
    assert item("weather", '{"city":"Wien"}') == {**plain, "name": "weather", "arguments": '{"city":"Wien"}'}
    assert item("agents__close", "{}") == {**plain, "name": "close", "namespace": "agents", "arguments": "{}"}
    assert item("unknown", "{}") == {**plain, "name": "unknown", "arguments": "{}"}
    custom = {**plain, "type": "custom_tool_call", "name": "patch"}
    assert item("patch", custom_tool_arguments("*** Begin\n")) == {**custom, "input": "*** Begin\n"}
    assert item("patch", "not JSON") == {**custom, "input": "not JSON"}

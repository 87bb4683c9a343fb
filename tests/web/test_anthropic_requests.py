"""What Anthropic's clients send: how to sample, tools, and what must be called."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from persona_stream.core.content import Tool, ToolChoice
from persona_stream.errors import InvalidRequest
from persona_stream.protocols.anthropic.decoder import (
    MessagesRequest,
    MessageTool,
    MessageToolChoice,
    choice_of,
    tools_of,
)

WEATHER = Tool("weather", "Tell it.", {"type": "object"}, True)


def asked(**more: Any) -> MessagesRequest:
    body = {"model": "ada", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}], **more}
    return msgspec.convert(body, MessagesRequest)


@pytest.mark.parametrize(
    ("sent", "given"),
    [
        ({}, {}),
        ({"temperature": 1, "top_p": 0.5, "top_k": 3}, {"temperature": 1.0, "top_p": 0.5, "top_k": 3}),
        ({"temperature": 0, "stop_sequences": ["a", "b"]}, {"temperature": 0.0, "stop": ("a", "b")}),
        ({"stop_sequences": [], "metadata": {}, "temperature": None}, {}),
        ({"metadata": {"user_id": "u1", "more": 1}}, {"user": "u1"}),
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, {"parallel_tool_calls": False}),
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": False}}, {}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "service_tier": "auto", "container": None}, {}),
        ({"output_config": {"effort": "low"}}, {}),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
         {"response_format": {"type": "json_schema",
                              "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True}}}),
    ],
)  # fmt: skip
def test_parameters_have_the_names_that_backends_know(sent: dict[str, Any], given: dict[str, Any]):
    """What was not sent is not there."""
    assert dict(asked(**sent).parameters) == {"max_tokens": 5, **given}


def test_a_tool_is_what_was_sent():
    """As a client has it; unknown fields are ignored."""
    sent = [
        {"name": "weather", "description": "Tell it.", "input_schema": {"type": "object"}, "strict": True,
         "cache_control": {"type": "ephemeral"}},
        {"type": "custom", "name": "now", "input_schema": {}},
    ]  # fmt: skip
    assert tools_of(msgspec.convert(sent, list[MessageTool])) == (WEATHER, Tool("now", None, {}))
    assert tools_of(None) == tools_of([]) == ()


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "web_search_20250305", "name": "web_search"},
        {"type": "bash_20250124", "name": "bash", "input_schema": {}},
        {"name": "weather"},
        {"name": "", "input_schema": {}},
        {"name": "two words", "input_schema": {}},
        {"name": "f\n", "input_schema": {}},
        {"name": "x" * 129, "input_schema": {}},
        {"name": "f", "input_schema": []},
    ],
)
def test_what_is_no_tool_of_a_client_is_refused(tool: dict[str, object]):
    """A server's tools are not to be had here."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(tool, MessageTool)


@pytest.mark.parametrize(
    ("sent", "tools", "choice"),
    [
        (None, (WEATHER,), None),
        (MessageToolChoice("auto"), (WEATHER,), ToolChoice("auto")),
        (MessageToolChoice("any"), (WEATHER,), ToolChoice("required")),
        (MessageToolChoice("none"), (WEATHER,), ToolChoice("none")),
        (MessageToolChoice("tool", "weather"), (WEATHER,), ToolChoice("named", "weather")),
        (MessageToolChoice("any", "weather"), (WEATHER,), ToolChoice("required")),
        (MessageToolChoice("auto"), (), None),
        (MessageToolChoice("none"), (), None),
    ],
)
def test_a_choice_is_what_was_sent(sent: MessageToolChoice | None, tools: tuple[Tool, ...], choice: ToolChoice | None):
    """Without tools there is nothing to choose."""
    assert choice_of(sent, tools) == choice


@pytest.mark.parametrize(
    ("sent", "tools"),
    [
        (MessageToolChoice("any"), ()),
        (MessageToolChoice("tool", "weather"), ()),
        (MessageToolChoice("tool", "time"), (WEATHER,)),
        (MessageToolChoice("tool"), (WEATHER,)),
    ],
)
def test_a_choice_of_what_there_is_not_is_refused(sent: MessageToolChoice, tools: tuple[Tool, ...]):
    """A provider would say so after a long wait."""
    with pytest.raises(InvalidRequest, match=r"^tool_choice") as caught:
        choice_of(sent, tools)
    assert caught.value.field == "tool_choice"

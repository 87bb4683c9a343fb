"""Tests of the decoder of OpenAI's requests: turns, tools and tool choice."""

from __future__ import annotations

import msgspec
import pytest

from persona_stream.core.content import Image, Tool, ToolCall, ToolChoice
from persona_stream.core.query import Turn
from persona_stream.errors import InvalidRequest
from persona_stream.protocols.openai.decoder import (
    Choice,
    ChosenFunction,
    ChosenTool,
    ContentPart,
    FunctionDefinition,
    ImageUrl,
    RequestMessage,
    RequestTool,
    parse_tool_choice,
    parse_tools,
    parse_turns,
)
from persona_stream.protocols.openai.schemas import function_call

CALL = ToolCall("c1", "weather", "{}")
URL = "https://example.org/a.png"


def image_part(url: str, detail: str | None = None) -> ContentPart:
    """Return a content part with an image."""
    return ContentPart("image_url", image_url=ImageUrl(url, detail))


@pytest.mark.parametrize(
    ("message", "turn"),
    [
        (RequestMessage("user", "Hi"), Turn("user", "Hi")),
        (RequestMessage("developer", "Be brief."), Turn("system", "Be brief.")),
        (RequestMessage("user", [ContentPart("text", "How"), ContentPart("text", "many?")]),
         Turn("user", "How\nmany?")),
        (RequestMessage("assistant", None, refusal="No."), Turn("assistant", "No.")),
        (RequestMessage("assistant", [ContentPart("refusal", refusal="No.")]), Turn("assistant", "No.")),
        (RequestMessage("user", [ContentPart("text", "See:"), image_part(URL, "low")]),
         Turn("user", "See:", ("See:", Image(URL, "low")))),
        (RequestMessage("user", [image_part("data:image/png;base64,AAAA")]),
         Turn("user", "", (Image("data:image/png;base64,AAAA"),))),
        (RequestMessage("assistant", None, tool_calls=[function_call(CALL)]),
         Turn("assistant", "", calls=(CALL,))),
        (RequestMessage("tool", "Sun.", tool_call_id="c1"), Turn("tool", "Sun.", call_id="c1")),
    ],
)  # fmt: skip
def test_each_message_is_a_turn(message: RequestMessage, turn: Turn):
    """Texts are joined; if there are images, the parts are kept in order too."""
    assert parse_turns([message]) == [turn]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (ContentPart("text"), "messages[0].content[0].text: is required"),
        (ContentPart("image_url"), "messages[0].content[0].image_url: is required"),
        (ContentPart("refusal", "text"), "messages[0].content[0].refusal: is required"),
        (ContentPart("input_audio"), "'input_audio'; must be text or image_url"),
        (ContentPart("x" * 1000), f"type '{'x' * 40}';"),
        (image_part("file:///etc/passwd"), "must be the URL of an image"),
        (image_part("data:text/html;base64,AAAA"), "must be the URL of an image"),
        (image_part("data:image/png;base64,AA AA"), "must be the URL of an image"),
        (image_part("https://example.org/a b.png"), "must be the URL of an image"),
        (image_part(""), "must be the URL of an image"),
    ],
)
def test_an_unsupported_part_is_rejected_by_name(part: ContentPart, words: str):
    """No content is dropped silently."""
    with pytest.raises(InvalidRequest) as caught:
        parse_turns([RequestMessage("user", [part])])
    assert words in str(caught.value)
    assert caught.value.field == "messages"


WEATHER = Tool("weather", "Tell it.", {"type": "object"}, True)


def named(name: str) -> ChosenTool:
    return ChosenTool(ChosenFunction(name))


def test_tools_are_parsed_as_sent():
    """A function without parameters takes none."""
    asked = [RequestTool(FunctionDefinition("weather", "Tell it.", {"type": "object"}, True)),
             RequestTool(FunctionDefinition("now"))]  # fmt: skip
    assert parse_tools(asked) == (WEATHER, Tool("now", None, {}))
    assert parse_tools(None) == parse_tools([]) == ()


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
def test_the_tool_choice_is_parsed_as_sent(asked: Choice | None, tools: tuple[Tool, ...], choice: ToolChoice | None):
    """Without tools there is no choice."""
    assert parse_tool_choice(asked, tools) == choice


@pytest.mark.parametrize(("asked", "tools"), [("required", ()), (named("time"), (WEATHER,)), (named("weather"), ())])
def test_the_choice_of_an_unknown_tool_is_rejected(asked: Choice, tools: tuple[Tool, ...]):
    """Before the run starts."""
    with pytest.raises(InvalidRequest, match="not in tools") as caught:
        parse_tool_choice(asked, tools)
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
def test_tools_other_than_functions_are_rejected(tool: dict[str, object]):
    """So are malformed functions."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(tool, RequestTool)

"""The messages of OpenAI's clients become turns.

The tools of OpenAI's clients.
"""

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


def picture(url: str, detail: str | None = None) -> ContentPart:
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
        (RequestMessage("user", [ContentPart("text", "See:"), picture(URL, "low")]),
         Turn("user", "See:", ("See:", Image(URL, "low")))),
        (RequestMessage("user", [picture("data:image/png;base64,AAAA")]),
         Turn("user", "", (Image("data:image/png;base64,AAAA"),))),
        (RequestMessage("assistant", None, tool_calls=[function_call(CALL)]),
         Turn("assistant", "", calls=(CALL,))),
        (RequestMessage("tool", "Sun.", tool_call_id="c1"), Turn("tool", "Sun.", call_id="c1")),
    ],
)  # fmt: skip
def test_every_message_is_a_turn(message: RequestMessage, turn: Turn):
    """Texts are joined; where there is a picture, the parts are kept in their order too."""
    assert parse_turns([message]) == [turn]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (ContentPart("text"), "messages[0].content[0].text: is required"),
        (ContentPart("image_url"), "messages[0].content[0].image_url: is required"),
        (ContentPart("refusal", "text"), "messages[0].content[0].refusal: is required"),
        (ContentPart("input_audio"), "'input_audio'; must be text or image_url"),
        (ContentPart("x" * 1000), f"type '{'x' * 40}';"),
        (picture("file:///etc/passwd"), "must be the URL of an image"),
        (picture("data:text/html;base64,AAAA"), "must be the URL of an image"),
        (picture("data:image/png;base64,AA AA"), "must be the URL of an image"),
        (picture("https://example.org/a b.png"), "must be the URL of an image"),
        (picture(""), "must be the URL of an image"),
    ],
)
def test_what_cannot_be_taken_is_named(part: ContentPart, words: str):
    """Nothing is left out silently."""
    with pytest.raises(InvalidRequest) as caught:
        parse_turns([RequestMessage("user", [part])])
    assert words in str(caught.value)
    assert caught.value.field == "messages"


WEATHER = Tool("weather", "Tell it.", {"type": "object"}, True)


def named(name: str) -> ChosenTool:
    return ChosenTool(ChosenFunction(name))


def test_a_tool_is_what_was_sent():
    """Without parameters it takes none."""
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
def test_a_choice_is_what_was_sent(asked: Choice | None, tools: tuple[Tool, ...], choice: ToolChoice | None):
    """Without tools there is nothing to choose."""
    assert parse_tool_choice(asked, tools) == choice


@pytest.mark.parametrize(("asked", "tools"), [("required", ()), (named("time"), (WEATHER,)), (named("weather"), ())])
def test_a_choice_of_what_there_is_not_is_refused(asked: Choice, tools: tuple[Tool, ...]):
    """A provider would say so after a long wait."""
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
def test_what_is_no_function_is_refused(tool: dict[str, object]):
    """Before it gets anywhere."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(tool, RequestTool)

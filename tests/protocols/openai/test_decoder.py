"""Tests of the decoder of OpenAI's requests: turns, tools and tool choice."""

from __future__ import annotations

import re

import msgspec
import pytest

from persona_stream.core.content import Attachment, Tool, ToolCall, ToolChoice
from persona_stream.core.query import Turn
from persona_stream.errors import InvalidRequest
from persona_stream.protocols.openai.decoder import (
    ChatCompletionRequest,
    Choice,
    ChosenFunction,
    ChosenTool,
    ContentPart,
    FunctionDefinition,
    ImageUrl,
    RequestMessage,
    RequestTool,
    check_completion_request,
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
         Turn("user", "See:", ("See:", Attachment(URL, "low")))),
        (RequestMessage("user", [image_part("data:image/png;base64,AAAA")]),
         Turn("user", "", (Attachment("data:image/png;base64,AAAA"),))),
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
        (ContentPart("input_audio"), "messages[0].content[0].input_audio: is required"),
        (ContentPart("video_url"), "'video_url'; must be text, image_url, file or input_audio"),
        (ContentPart("x" * 1000), f"type '{'x' * 40}';"),
        (image_part("file:///etc/passwd"), "must be the URL of an image"),
        (image_part("data:text/html;base64,AAAA"), "must be the URL of an image"),
        (image_part("data:image/png;base64,AA AA"), "its base64 is invalid"),
        (image_part("https://example.org/a b.png"), "is not a valid address"),
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
        ("any", (WEATHER,), ToolChoice("required")),
    ],
)
def test_the_tool_choice_is_parsed_as_sent(asked: Choice | None, tools: tuple[Tool, ...], choice: ToolChoice | None):
    """Without tools there is no choice."""
    assert parse_tool_choice(asked, tools) == choice


@pytest.mark.parametrize(
    ("sent", "choice"),
    [
        ({"type": "auto"}, ToolChoice("auto")),  # BerriAI/litellm #12098
        ({"type": "none"}, ToolChoice("none")),  # BerriAI/litellm PR 12168
        ({"type": "required"}, ToolChoice("required")),  # BerriAI/litellm PR 12168
        ({"type": "any"}, ToolChoice("required")),
        ({"type": "tool", "name": "weather"}, ToolChoice("named", "weather")),
        ({"type": "function", "name": "weather"}, ToolChoice("named", "weather")),  # GooeyAI/gooey-server PR 1032
        (
            {"function": {"name": "weather"}},
            ToolChoice("named", "weather"),
        ),  # huggingface/text-generation-inference PR 2634
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"function": {"name": "weather"}}]},
            },
            ToolChoice("required"),
        ),  # vllm-project/vllm #23334, higress-group/mock-server PR 8
    ],
)
def test_a_tool_choice_may_be_an_object(sent: dict[str, object], choice: ToolChoice) -> None:
    """Clients of several protocols send their own forms."""
    assert parse_tool_choice(msgspec.convert(sent, Choice), (WEATHER,)) == choice


@pytest.mark.parametrize("sent", [{"type": "function"}, {"type": "tool"}, {"type": "allowed_tools"}])
def test_an_incomplete_tool_choice_is_rejected(sent: dict[str, object]) -> None:
    """The error names what is missing."""
    with pytest.raises(InvalidRequest, match=r"^tool_choice.(function|allowed_tools): is required"):
        parse_tool_choice(msgspec.convert(sent, Choice), (WEATHER,))


def test_only_allowed_tools_are_offered() -> None:
    """vllm-project/vllm #23334; a tool that is not there is rejected."""
    asked = [RequestTool(FunctionDefinition("weather", "Tell it.", {"type": "object"}, True)),
             RequestTool(FunctionDefinition("now"))]  # fmt: skip
    allow = {"type": "allowed_tools", "allowed_tools": {"tools": [{"function": {"name": "weather"}}]}}
    assert parse_tools(asked, msgspec.convert(allow, Choice)) == (WEATHER,)
    with pytest.raises(InvalidRequest, match="not in tools"):
        parse_tools(asked[1:], msgspec.convert(allow, Choice))


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ({"type": "input_text", "text": "Hi"}, "Hi"),
        ({"type": "output_text", "text": "Hi"}, "Hi"),  # anomalyco/opencode #42613
        ({"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,SGk="}}, "Hi"),
    ],
)
def test_text_in_other_forms_is_text(part: dict[str, object], text: str) -> None:
    """In any message."""
    for role in ("user", "assistant", "tool"):
        message = msgspec.convert({"role": role, "content": [part]}, RequestMessage)
        assert parse_turns([message])[0].content == text


UNREADABLE = [
    {"type": "file", "file": {"file_id": "file-1"}},
    {"type": "image_url", "image_url": {"url": "data:application/pdf;base64,AAAA"}},
    {"type": "tool_reference", "tool_name": "x"},
]


@pytest.mark.parametrize("part", UNREADABLE)
def test_other_content_becomes_a_note_where_the_client_repeats_it(part: dict[str, object]) -> None:
    """In tool results and before the question.

    agentscope-ai/QwenPaw #7617, anomalyco/opencode #48868 and #26087: one such part ended the session.
    """
    sent = [
        {"role": "user", "content": [part, {"type": "text", "text": "What is it?"}]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "Read."}, part]},
        {"role": "user", "content": "And now?"},
    ]
    note = f"[{part['type']} omitted: the model cannot receive it]"
    turns = parse_turns(msgspec.convert(sent, list[RequestMessage]))
    assert [turn.content for turn in turns] == [f"{note}\nWhat is it?", f"Read.\n{note}", "And now?"]


@pytest.mark.parametrize("part", UNREADABLE)
def test_other_content_of_the_question_is_rejected(part: dict[str, object]) -> None:
    """router-for-me/CLIProxyAPI #4765: the client would think that the model saw it."""
    with pytest.raises(InvalidRequest, match=r"^messages\[0\].content\[0\]"):
        parse_turns(msgspec.convert([{"role": "user", "content": [part]}], list[RequestMessage]))


def test_files_and_recordings_are_attachments() -> None:
    """unslothai/unsloth PR 10255; the name is what a file can have."""
    file = {"filename": "docs/a.pdf", "file_data": "data:application/pdf;base64,AAAA"}
    parts = [
        {"type": "text", "text": "See:"},
        {"type": "file", "file": file},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]
    [turn] = parse_turns(msgspec.convert([{"role": "user", "content": parts}], list[RequestMessage]))
    assert turn.parts == (
        "See:",
        Attachment("data:application/pdf;base64,AAAA", type="file", name="docs_a.pdf"),
        Attachment("data:audio/wav;base64,AAAA", type="audio"),
    )


def test_other_content_of_an_answer_is_skipped() -> None:
    """Its own reasoning is not sent back in this form."""
    content = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Yes."}]
    [turn] = parse_turns(msgspec.convert([{"role": "assistant", "content": content}], list[RequestMessage]))
    assert turn.content == "Yes."


def test_a_token_limit_of_minus_1_is_none() -> None:
    """langchain-ai/langchain #10822, langtail/langtail-node PR 69; 0 is rejected, as by published providers."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    asked = msgspec.convert({**body, "max_tokens": -1, "max_completion_tokens": 5}, ChatCompletionRequest)
    assert asked.parameters == {"max_completion_tokens": 5}
    with pytest.raises(InvalidRequest, match=r"^max_tokens: must be at least 1, or -1 for no limit"):
        check_completion_request(msgspec.convert({**body, "max_tokens": 0}, ChatCompletionRequest))


@pytest.mark.parametrize(("asked", "tools"), [("required", ()), (named("time"), (WEATHER,)), (named("weather"), ())])
def test_the_choice_of_an_unknown_tool_is_rejected(asked: Choice, tools: tuple[Tool, ...]):
    """Before the run starts."""
    with pytest.raises(InvalidRequest, match="not in tools") as caught:
        parse_tool_choice(asked, tools)
    assert caught.value.field == "tool_choice"


def test_the_fields_of_a_function_may_stand_in_its_place() -> None:
    """As in the Responses API; Cursor sends them so (diegosouzapw/OmniRoute #593, anthropic-max-router PR 2)."""
    tool = {"type": "function", "name": "f", "description": "F.", "parameters": {"type": "object"}, "strict": True}
    assert parse_tools([msgspec.convert(tool, RequestTool)]) == (Tool("f", "F.", {"type": "object"}, strict=True),)
    with pytest.raises(InvalidRequest, match=re.escape("tools[0].function: is required")):
        parse_tools([msgspec.convert({"type": "function"}, RequestTool)])


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ({"arguments": '{"at": '}, '{"at": '),
        ({"arguments": {"at": "sky"}}, '{"at":"sky"}'),  # NousResearch/hermes-agent PR 4838
        ({"arguments": None}, "{}"),  # langchain-ai/langchain PR 34242
        ({}, "{}"),
    ],
)
def test_arguments_of_earlier_calls_may_be_objects(arguments: dict[str, object], read: str) -> None:
    raw = {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", **arguments}}]}
    [turn] = parse_turns([msgspec.convert(raw, RequestMessage)], [raw])
    assert turn.calls == (ToolCall("1", "f", read),)


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "custom", "function": {"name": "f"}},
        {"type": "function", "name": ""},
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

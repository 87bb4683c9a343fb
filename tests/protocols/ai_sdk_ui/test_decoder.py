"""Tests of requests of the AI SDK's ``useChat``."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from persona_stream.core.content import Attachment, Tool, ToolCall
from persona_stream.core.query import Turn
from persona_stream.errors import InvalidRequest
from persona_stream.protocols.ai_sdk_ui import decoder

IMAGE = "data:image/png;base64,iVBORw0KGgo="
TEXT_FILE = "data:text/plain;base64,SGVsbG8="


def request(*messages: dict[str, Any], **more: Any) -> decoder.UIChatRequest:
    body = {"id": "chat-1", "messages": messages, "trigger": "submit-message", **more}
    return decoder.request_decoder.decode(msgspec.json.encode(body))


def message(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"id": f"{role}-1", "role": role, "parts": parts}


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "text": content}


QUESTION = message("user", text("Hi"))


def test_a_conversation_becomes_turns():
    """Parts of a message are joined; sources, data and unknown parts are ignored."""
    turns = decoder.parse_turns(
        request(
            message("system", text("Be brief.")),
            message("user", text("One"), text("two"), {"type": "data-note", "data": 1}),
            message(
                "assistant",
                {"type": "step-start"},
                {"type": "reasoning", "text": "Hm.", "state": "done"},
                {"type": "text", "text": "Three.", "state": "done", "providerMetadata": {}},
                {"type": "source-url", "sourceId": "1", "url": "https://example.org"},
            ),
            QUESTION,
            system="You are Ada.",
        )
    )
    assert turns == [
        Turn("system", "You are Ada."),
        Turn("system", "Be brief."),
        Turn("user", "One\ntwo"),
        Turn("assistant", "Three.", reasoning="Hm."),
        Turn("user", "Hi"),
    ]


def tool(state: str, call_id: str = "call_1", **more: Any) -> dict[str, Any]:
    return {"type": "tool-weather", "toolCallId": call_id, "state": state, "input": {"city": "Wien"}, **more}


def test_tool_calls_are_followed_by_their_results():
    """Step by step; a call without a result would be rejected by providers and is omitted."""
    dynamic = {**tool("output-error", "call_2", errorText="No net"), "type": "dynamic-tool", "toolName": "web"}
    turns = decoder.parse_turns(
        request(
            QUESTION,
            message(
                "assistant",
                {"type": "step-start"},
                text("I look."),
                tool("output-available", output={"degrees": 21}),
                dynamic,
                {"type": "step-start"},
                tool("output-denied", "call_3"),
                tool("input-available", "call_4"),
                tool("output-available", "call_5", output="21 degrees"),
                {"type": "step-start"},
                text("It is warm."),
            ),
        )
    )
    arguments = '{"city":"Wien"}'
    assert turns == [
        Turn("user", "Hi"),
        Turn(
            "assistant",
            "I look.",
            calls=(ToolCall("call_1", "weather", arguments), ToolCall("call_2", "web", arguments)),
        ),
        Turn("tool", '{"degrees":21}', call_id="call_1"),
        Turn("tool", "No net", call_id="call_2", failed=True),
        Turn(
            "assistant",
            "",
            calls=(ToolCall("call_3", "weather", arguments), ToolCall("call_5", "weather", arguments)),
        ),
        Turn("tool", "The user denied this tool call", call_id="call_3", failed=True),
        Turn("tool", "21 degrees", call_id="call_5"),
        Turn("assistant", "It is warm."),
    ]


def test_arguments_that_were_not_json_come_back_as_they_were():
    """In `rawInput`."""
    part = tool("output-error", rawInput='{"city":', errorText="invalid")
    _, called, _ = decoder.parse_turns(request(QUESTION, message("assistant", part)))
    assert called.calls == (ToolCall("call_1", "weather", '{"city":'),)


def file(media_type: str, url: str) -> dict[str, Any]:
    return {"type": "file", "mediaType": media_type, "url": url, "filename": "x"}


def test_files_are_attachments_and_texts_are_text():
    """Invalid ones become a note before the question, and are refused in it."""
    pdf = "data:application/pdf;base64,JVBERi0="
    recording = "data:audio/wav;base64,AAAA"
    invalid = file("application/pdf", "blob:x")
    turns = decoder.parse_turns(
        request(
            message("user", text("See"), invalid),
            message("assistant", text("Ok.")),
            message(
                "user", text("And?"), file("image/png", IMAGE), file("text/plain", TEXT_FILE),
                file("application/pdf", pdf), file("audio/wav", recording),
            ),
        )
    )  # fmt: skip
    attachments = (Attachment(pdf, type="file", name="x"), Attachment(recording, type="audio", name="x"))
    assert turns == [
        Turn("user", "See\n[file (application/pdf) omitted: the model cannot receive it]"),
        Turn("assistant", "Ok."),
        Turn("user", "And?\nHello", parts=("And?", Attachment(IMAGE, name="x"), "Hello", *attachments)),
    ]
    with pytest.raises(InvalidRequest, match=r"^messages\[0\].parts\[1\].url: must be the URL of a file"):
        decoder.parse_turns(request(message("user", text("See"), invalid)))


def test_the_message_that_the_answer_continues():
    """It is the last one, after tool results."""
    assert request(QUESTION).continued_message_id == ""
    assert request(QUESTION, message("assistant", tool("output-available"))).continued_message_id == "assistant-1"


def test_tools_of_a_request():
    """By name, as assistant-ui sends them."""
    schema = {"type": "object", "properties": {}}
    parsed = decoder.parse_tools(
        request(QUESTION, tools={"weather": {"description": "Weather", "parameters": schema}, "now": {}}).tools
    )
    assert parsed == (Tool("weather", "Weather", schema), Tool("now", None, {}))
    assert decoder.parse_tools(None) == ()


@pytest.mark.parametrize("chat_id", ["", "a b", "x" * 129, "é", "a\n"])
def test_the_id_of_a_chat_is_that_of_a_conversation(chat_id: str):
    """With its characters."""
    with pytest.raises(msgspec.ValidationError):
        request(QUESTION, id=chat_id)

"""Tests of conversations: the question among the turns, the size limit, required capabilities."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from persona_stream.backends.base import Backend, Capability
from persona_stream.core.content import Attachment, Tool, ToolCall
from persona_stream.core.query import Query, Turn
from persona_stream.errors import ContextTooLong, InvalidRequest
from persona_stream.protocols.conversation import (
    MAX_TEXT_CHARACTERS,
    ParsedConversation,
    omit_unsupported_attachments,
    parse_conversation,
    require_capabilities,
)

QUESTION = Turn("user", "What is the weather?")
TOOL_CALL = Turn("assistant", "", calls=(ToolCall("c1", "weather", "{}"),))
TOOL_RESULT = Turn("tool", "Sun.", call_id="c1")
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}
IMAGE = Attachment("https://example.org/a.png")
PDF = Attachment("data:application/pdf;base64,AAAA", type="file", name="a.pdf")
RECORDING = Attachment("data:audio/wav;base64,AAAA", type="audio")


@pytest.mark.parametrize(
    ("turns", "parts"),
    [
        ([QUESTION], ParsedConversation("What is the weather?", (), (), ())),
        (
            [Turn("system", "Be brief."), Turn("user", "Hi"), Turn("assistant", "Hello"), QUESTION],
            ParsedConversation(
                QUESTION.content, (), (Turn("system", "Be brief."), Turn("user", "Hi"), Turn("assistant", "Hello")), ()
            ),
        ),
        ([Turn("system", "Say hi.")], ParsedConversation("Say hi.", (), (), ())),  # xorbitsai/inference #1317
        (
            [Turn("system", "Be brief."), Turn("system", "Say hi.")],  # UKGovernmentBEIS/inspect_ai PR 1342
            ParsedConversation("Say hi.", (), (Turn("system", "Be brief."),), ()),
        ),
        ([QUESTION, TOOL_CALL, TOOL_RESULT], ParsedConversation(QUESTION.content, (), (), (TOOL_CALL, TOOL_RESULT))),
        (
            [QUESTION, Turn("system", "Be brief."), TOOL_CALL],
            ParsedConversation(QUESTION.content, (), (Turn("system", "Be brief."),), (TOOL_CALL,)),
        ),
        ([Turn("user", "", (IMAGE,))], ParsedConversation("", (IMAGE,), (), ())),
    ],
)
def test_the_last_user_message_is_the_question(turns: list[Turn], parts: ParsedConversation):
    """Tool calls and results stay after it; later instructions become history."""
    assert parse_conversation(turns) == parts


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ([], "must contain a user message"),
        ([Turn("system", "Be brief."), Turn("assistant", "Yes.")], "must contain a user message"),
        ([Turn("system", " ")], "must not be empty"),
        ([Turn("user", " \n")], "must not be empty"),
        ([Turn("user", "Hi"), Turn("assistant", "Hello"), Turn("user", "")], "must not be empty"),
    ],
)
def test_a_conversation_without_a_question_is_rejected(turns: list[Turn], words: str):
    """So is an empty question."""
    with pytest.raises(InvalidRequest, match=words) as caught:
        parse_conversation(turns)
    assert caught.value.field == "messages"


def test_the_length_of_a_conversation_is_limited():
    """The limit counts the code points of all messages."""
    half = Turn("user", "😀" * (MAX_TEXT_CHARACTERS // 2))
    assert parse_conversation([half, half]).message == half.content
    with pytest.raises(ContextTooLong, match=r"^messages: prompt is too long: 524289 .* at most 524288 are allowed$"):
        parse_conversation([half, Turn("system", "x"), half])


@pytest.mark.parametrize(
    ("capability", "field", "more"),
    [
        ("tools", "tools", {"tools": (Tool("weather", None, {}),)}),
        ("tools", "messages", {"history": (QUESTION, TOOL_CALL, TOOL_RESULT)}),
        ("tools", "messages", {"tool_turns": (TOOL_CALL, TOOL_RESULT)}),
        ("tools", "messages", {"tool_turns": (TOOL_RESULT,)}),
        ("images", "messages", {"parts": ("See:", IMAGE)}),
        ("images", "messages", {"history": (Turn("user", "", (IMAGE,)),)}),
        ("files", "messages", {"parts": ("See:", PDF)}),
        ("audio_input", "messages", {"parts": ("Hear:", RECORDING)}),
        ("prefill", "messages", {"tool_turns": (Turn("assistant", "It is"),)}),
        ("response_format", "response_format", {"parameters": {"response_format": {"type": "json_object"}}}),
        ("response_format", "response_format", {"parameters": {"response_format": {"type": "json_schema"}}}),
        ("json_schema", "response_format", {"parameters": {"response_format": JSON_SCHEMA}}),
    ],
)
def test_an_unsupported_capability_is_rejected(capability: Capability, field: str, more: dict[str, Any]):
    """The error names the field that needs it."""
    query = Query(username="x", message="Hi", **more)
    require_capabilities(query, Backend("able", lambda query: "", capabilities=frozenset({capability})))
    others = frozenset(get_args(Capability)) - {capability}
    with pytest.raises(InvalidRequest, match=rf"^{field}: ") as caught:
        require_capabilities(query, Backend("unable", lambda query: "", capabilities=others))
    assert caught.value.field == field


def test_a_plain_query_needs_no_capability():
    """It has text, history and sampling parameters."""
    query = Query(username="x", message="Hi", history=(QUESTION, Turn("assistant", "Sun.")), parameters={"seed": 1})
    require_capabilities(query, Backend("plain", lambda query: ""))


def test_images_in_tool_results_become_notes_for_a_backend_without_images():
    """lmstudio-ai/localization #425: the client repeats the result in each request."""
    shown = Turn("tool", "See:", ("See:", IMAGE), call_id="c1")
    query = Query(username="x", message="Hi", history=(QUESTION, TOOL_CALL, shown), tool_turns=(TOOL_CALL, shown))
    noted = Turn("tool", "See:\n[image omitted: the model cannot receive it]", call_id="c1")
    text_only = omit_unsupported_attachments(query, Backend("text", lambda query: ""))
    assert (text_only.history, text_only.tool_turns) == ((QUESTION, TOOL_CALL, noted), (TOOL_CALL, noted))
    able = Backend("able", lambda query: "", capabilities=frozenset({"images"}))
    assert omit_unsupported_attachments(query, able) == query


def test_files_before_the_question_become_notes_for_a_backend_without_files():
    """The client repeats them too, in each request; those of the question are refused."""
    asked = Turn("user", "See:", ("See:", PDF, RECORDING))
    query = Query(username="x", message="Hi", parts=("Hi", PDF), history=(asked,))
    able = Backend("able", lambda query: "", capabilities=frozenset({"audio_input"}))
    noted = omit_unsupported_attachments(query, able)
    note = "[file (application/pdf) omitted: the model cannot receive it]"
    assert noted == replace(query, history=(Turn("user", f"See:\n{note}", ("See:", note, RECORDING)),))
    with pytest.raises(InvalidRequest, match=r"^messages: this backend does not support files"):
        require_capabilities(noted, able)


def test_images_of_the_user_are_not_replaced():
    """The error names them instead."""
    query = Query(username="x", message="Hi", history=(Turn("user", "", (IMAGE,)),))
    assert omit_unsupported_attachments(query, Backend("text", lambda query: "")) == query

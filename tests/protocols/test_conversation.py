"""A conversation becomes the question, what was before it, and what since; and needs abilities."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from persona_stream.backends.base import Backend, Capability
from persona_stream.core.content import Image, Tool, ToolCall
from persona_stream.core.query import Query, Turn
from persona_stream.errors import InvalidRequest
from persona_stream.protocols.conversation import (
    MAX_TEXT_CHARACTERS,
    ParsedConversation,
    parse_conversation,
    require_capabilities,
)

ASKED = Turn("user", "What is the weather?")
CALLED = Turn("assistant", "", calls=(ToolCall("c1", "weather", "{}"),))
FOUND = Turn("tool", "Sun.", call_id="c1")
A_SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}
IMAGE = Image("https://example.org/a.png")


@pytest.mark.parametrize(
    ("turns", "parts"),
    [
        ([ASKED], ParsedConversation("What is the weather?", (), (), ())),
        (
            [Turn("system", "Be brief."), Turn("user", "Hi"), Turn("assistant", "Hello"), ASKED],
            ParsedConversation(
                ASKED.content, (), (Turn("system", "Be brief."), Turn("user", "Hi"), Turn("assistant", "Hello")), ()
            ),
        ),
        ([ASKED, CALLED, FOUND], ParsedConversation(ASKED.content, (), (), (CALLED, FOUND))),
        (
            [ASKED, Turn("system", "Be brief."), CALLED],
            ParsedConversation(ASKED.content, (), (Turn("system", "Be brief."),), (CALLED,)),
        ),
        ([Turn("user", "", (IMAGE,))], ParsedConversation("", (IMAGE,), (), ())),
    ],
)
def test_the_users_last_message_is_the_question(turns: list[Turn], parts: ParsedConversation):
    """Calls of tools and their results stay behind it; instructions that come late belong before it."""
    assert parse_conversation(turns) == parts


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ([], "none of them is the user's"),
        ([Turn("system", "Be brief.")], "none of them is the user's"),
        ([Turn("user", " \n")], "is blank"),
        ([Turn("user", "Hi"), Turn("assistant", "Hello"), Turn("user", "")], "is blank"),
    ],
)
def test_there_must_be_a_question(turns: list[Turn], words: str):
    """And it must say something."""
    with pytest.raises(InvalidRequest, match=words) as caught:
        parse_conversation(turns)
    assert caught.value.field == "messages"


def test_the_texts_have_a_bound_in_all():
    """However they are spread; characters are code points."""
    half = Turn("user", "😀" * (MAX_TEXT_CHARACTERS // 2))
    assert parse_conversation([half, half]).message == half.content
    with pytest.raises(InvalidRequest, match=r"^messages: have 524289 characters, and may have 524288$"):
        parse_conversation([half, Turn("system", "x"), half])


@pytest.mark.parametrize(
    ("ability", "field", "more"),
    [
        ("tools", "tools", {"tools": (Tool("weather", None, {}),)}),
        ("tools", "messages", {"history": (ASKED, CALLED, FOUND)}),
        ("tools", "messages", {"tool_turns": (CALLED, FOUND)}),
        ("tools", "messages", {"tool_turns": (FOUND,)}),
        ("images", "messages", {"parts": ("See:", IMAGE)}),
        ("images", "messages", {"history": (Turn("user", "", (IMAGE,)),)}),
        ("prefill", "messages", {"tool_turns": (Turn("assistant", "It is"),)}),
        ("response_format", "response_format", {"parameters": {"response_format": {"type": "json_object"}}}),
        ("response_format", "response_format", {"parameters": {"response_format": {"type": "json_schema"}}}),
        ("json_schema", "response_format", {"parameters": {"response_format": A_SCHEMA}}),
    ],
)
def test_what_a_backend_cannot_do_is_refused(ability: Capability, field: str, more: dict[str, Any]):
    """And not done without: the client would wait for it in vain."""
    query = Query(username="x", message="Hi", **more)
    require_capabilities(query, Backend("able", lambda query: "", capabilities=frozenset({ability})))
    others = frozenset(get_args(Capability)) - {ability}
    with pytest.raises(InvalidRequest, match=rf"^{field}: ") as caught:
        require_capabilities(query, Backend("unable", lambda query: "", capabilities=others))
    assert caught.value.field == field


def test_most_queries_need_nothing_special():
    """Text, history and how to sample."""
    query = Query(username="x", message="Hi", history=(ASKED, Turn("assistant", "Sun.")), parameters={"seed": 1})
    require_capabilities(query, Backend("plain", lambda query: ""))

"""Whole bodies of requests, as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from persona_stream.backends.openai.request import build_request
from persona_stream.core.content import Image, Tool, ToolCall, ToolChoice
from persona_stream.core.query import Query, Turn
from persona_stream.personas.persona import Persona

QUESTION = {"role": "user", "content": "How many?"}
LOOK = Tool("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}}, strict=True)
WAIT = Tool("wait", None, {})
CAT = "data:image/png;base64,iVBO"


def body(*, stream: bool = False, **fields: Any) -> Any:
    made = build_request(Query(**{"username": "ada", "message": "How many?"} | fields), "m1", stream=stream)
    return json.loads(json.dumps(made))


def messages(**fields: Any) -> Any:
    made = body(**fields)
    assert made.keys() == {"model", "messages", "stream"}
    return made["messages"]


def test_parameters_of_the_request_are_passed_on() -> None:
    """By their names, and none of them in place of what is ours."""
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}
    given = {"temperature": 0.5, "stop": ("a", "b"), "response_format": form, "model": "other", "stream": True}
    assert body(parameters=given) == {
        "temperature": 0.5,
        "stop": ["a", "b"],
        "response_format": form,
        "model": "m1",
        "messages": [QUESTION],
        "stream": False,
    }


def test_what_only_anthropics_clients_send_stays_here() -> None:
    """OpenAI refuses every field that it does not know."""
    assert body(parameters={"top_k": 5}) == {"model": "m1", "messages": [QUESTION], "stream": False}


def test_a_stream_is_asked_for_with_its_tokens() -> None:
    """The last chunk shall have the usage."""
    assert body(stream=True) == {
        "model": "m1",
        "messages": [QUESTION],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_tools_are_offered_as_they_are() -> None:
    """Name, description, schema and strictness; what is not said is left out."""
    assert body(tools=(LOOK, WAIT), parameters={"parallel_tool_calls": False}) == {
        "parallel_tool_calls": False,
        "model": "m1",
        "messages": [QUESTION],
        "stream": False,
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "look",
                    "description": "Looks.",
                    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
                    "strict": True,
                },
            },
            {"type": "function", "function": {"name": "wait"}},
        ],
    }


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ToolChoice("auto"), "auto"),
        (ToolChoice("none"), "none"),
        (ToolChoice("required"), "required"),
        (ToolChoice("named", "look"), {"type": "function", "function": {"name": "look"}}),
    ],
)
def test_every_choice_of_a_tool_has_its_form(choice: ToolChoice, written: object) -> None:
    """As the client chose."""
    assert body(tools=(LOOK,), tool_choice=choice)["tool_choice"] == written


def test_without_tools_nothing_is_said_of_them() -> None:
    """OpenAI refuses parallel_tool_calls where there is nothing to call."""
    assert body(parameters={"parallel_tool_calls": True}) == {"model": "m1", "messages": [QUESTION], "stream": False}


def test_pictures_stand_where_they_stood() -> None:
    """In the message and in the turns before it, in order, with their detail."""
    assert messages(
        message="What is this?\nAnd that?",
        parts=("What is this?", Image(CAT), "And that?", Image("https://x.example/dog.png", "low")),
        history=(Turn("user", "Look", ("Look", Image(CAT, "auto"))), Turn("assistant", "A cat.")),
    ) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": CAT, "detail": "auto"}},
            ],
        },
        {"role": "assistant", "content": "A cat."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": CAT}},
                {"type": "text", "text": "And that?"},
                {"type": "image_url", "image_url": {"url": "https://x.example/dog.png", "detail": "low"}},
            ],
        },
    ]


def called(id_: str) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": "look", "arguments": '{"at":'}}


def test_calls_and_their_results_follow_the_question() -> None:
    """Arguments go as the model wrote them; a failure without a word gets one; the system prompt stays first."""
    assert messages(
        persona=Persona(username="ada", name="Ada", tagline={}, prompt="You are Ada."),
        history=(Turn("system", "Be brief."),),
        tool_turns=(
            Turn("assistant", "", calls=(ToolCall("1", "look", '{"at":'), ToolCall("2", "look", '{"at":'))),
            Turn("tool", "blue", call_id="1"),
            Turn("tool", "", call_id="2", failed=True),
            Turn("assistant", "Once more.", calls=(ToolCall("3", "look", '{"at":'),)),
            Turn("tool", "", call_id="3"),
            Turn("tool", "of whom?"),
            Turn("assistant", "The answer is"),
        ),
    ) == [
        {"role": "system", "content": "You are Ada."},
        {"role": "system", "content": "Be brief."},
        QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [called("1"), called("2")]},
        {"role": "tool", "tool_call_id": "1", "content": "blue"},
        {"role": "tool", "tool_call_id": "2", "content": "The tool failed."},
        {"role": "assistant", "content": "Once more.", "tool_calls": [called("3")]},
        {"role": "tool", "tool_call_id": "3", "content": ""},
        {"role": "user", "content": "of whom?"},
        {"role": "assistant", "content": "The answer is"},
    ]


@pytest.mark.parametrize("after", [(), (Turn("assistant", "I see"),)])
def test_pictures_in_results_follow_behind_all_results(after: tuple[Turn, ...]) -> None:
    """A result holds text alone, and nothing may stand between the results of one answer."""
    assert messages(
        tool_turns=(
            Turn("assistant", "", calls=(ToolCall("1", "look", '{"at":'), ToolCall("2", "look", '{"at":'))),
            Turn("tool", "this", ("this", Image(CAT)), call_id="1"),
            Turn("tool", "that", call_id="2"),
            *after,
        ),
    ) == [
        QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [called("1"), called("2")]},
        {"role": "tool", "tool_call_id": "1", "content": "this"},
        {"role": "tool", "tool_call_id": "2", "content": "that"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": CAT}}]},
        *({"role": "assistant", "content": "I see"} for _ in after),
    ]

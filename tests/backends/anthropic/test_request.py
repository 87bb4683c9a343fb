"""Tests of request bodies of the Messages API, compared as whole JSON objects."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from persona_stream.backends.anthropic.request import build_request
from persona_stream.core.content import Attachment, Tool, ToolCall, ToolChoice
from persona_stream.core.query import Query, Turn
from persona_stream.personas.persona import Persona

QUESTION = {"role": "user", "content": "How many?"}
LOOK = Tool("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}}, strict=True)
WAIT = Tool("wait", None, {})
CAT = "data:image/png;base64,iVBO"


def body(*, stream: bool = False, **fields: Any) -> Any:
    made = build_request(Query(**{"username": "ada", "message": "How many?"} | fields), "m1", 4096, stream=stream)
    return json.loads(json.dumps(made))


def messages(**fields: Any) -> Any:
    made = body(**fields)
    assert made.keys() == {"model", "max_tokens", "messages", "stream"}
    return made["messages"]


def text(said: str) -> dict[str, str]:
    return {"type": "text", "text": said}


@pytest.mark.parametrize("stream", [False, True])
def test_a_query_with_a_message_only_gives_a_minimal_body(stream: bool) -> None:
    """Optional fields are left out."""
    assert body(stream=stream) == {"model": "m1", "max_tokens": 4096, "messages": [QUESTION], "stream": stream}


def test_the_schema_of_a_response_format_is_forwarded() -> None:
    """Without its name and strictness: the API has no name for a schema, and always follows it."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    format_ = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": schema}}
    asked = body(parameters={"response_format": format_})
    assert asked["output_config"] == {"format": {"type": "json_schema", "schema": schema}}


def test_sampling_parameters_are_renamed() -> None:
    """Parameters that the API lacks are left out, and so are stop sequences that it rejects."""
    given = {
        "temperature": 1.5,
        "top_p": 0.9,
        "max_tokens": 7,
        "max_completion_tokens": 8,
        "stop": ("a", "\n", "b"),
        "user": "u-1",
        "seed": 1,
        "presence_penalty": 0.5,
        "reasoning_effort": "high",
        "parallel_tool_calls": False,
    }
    assert body(parameters=given) == {
        "model": "m1",
        "max_tokens": 8,
        "messages": [QUESTION],
        "stream": False,
        "temperature": 1.0,
        "stop_sequences": ["a", "b"],
        "metadata": {"user_id": "u-1"},
    }


@pytest.mark.parametrize(
    ("given", "added"),
    [
        ({"max_tokens": 7}, {"max_tokens": 7}),
        ({"stop": "a"}, {"stop_sequences": ["a"]}),
        ({"stop": "\n"}, {}),
        ({"top_k": 5}, {"top_k": 5}),
        # Newer models reject both (open-webui/open-webui #17922, anomalyco/opencode #28930, gptme/gptme #1110).
        ({"temperature": 0.7, "top_p": 1}, {"temperature": 0.7}),
        ({"temperature": 0.2, "top_p": 0.4}, {"temperature": 0.2}),
        ({"temperature": 1, "top_p": 0.4}, {"top_p": 0.4}),
        ({"temperature": 1.3}, {"temperature": 1.0}),  # vercel/ai PR 10308
        ({"user": "u" * 256}, {"metadata": {"user_id": "u" * 256}}),
        ({"user": "u" * 257}, {"metadata": {"user_id": hashlib.sha256(b"u" * 257).hexdigest()}}),
        ({"user": "a@b.c"}, {"metadata": {"user_id": hashlib.sha256(b"a@b.c").hexdigest()}}),
    ],
)
def test_each_parameter_is_converted_on_its_own(given: dict[str, Any], added: dict[str, Any]) -> None:
    """In every form that the native parameter has."""
    assert (
        body(parameters=given) == {"model": "m1", "max_tokens": 4096, "messages": [QUESTION], "stream": False} | added
    )


def test_every_tool_has_a_schema() -> None:
    """The API requires one of type object; strictness is left out."""
    assert body(tools=(LOOK, WAIT)) == {
        "model": "m1",
        "max_tokens": 4096,
        "messages": [QUESTION],
        "stream": False,
        "tools": [
            {
                "name": "look",
                "description": "Looks.",
                "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}},
            },
            {"name": "wait", "input_schema": {"type": "object"}},
        ],
    }


@pytest.mark.parametrize(
    ("choice", "parallel", "written"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("auto"), None, {"type": "auto"}),
        (ToolChoice("none"), None, {"type": "none"}),
        (ToolChoice("none"), False, {"type": "none"}),
        (ToolChoice("required"), True, {"type": "any"}),
        (ToolChoice("required"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice("named", "look"), None, {"type": "tool", "name": "look"}),
        (ToolChoice("named", "look"), False, {"type": "tool", "name": "look", "disable_parallel_tool_use": True}),
    ],
)
def test_every_tool_choice_is_converted(choice: ToolChoice | None, parallel: bool | None, written: object) -> None:
    """Whether parallel calls are allowed is part of the tool choice."""
    given = {} if parallel is None else {"parallel_tool_calls": parallel}
    assert body(tools=(LOOK,), tool_choice=choice, parameters=given).get("tool_choice") == written


def test_the_system_prompt_is_a_separate_field() -> None:
    """It joins the persona's prompt, the request's, and system messages among the turns."""
    made = body(
        persona=Persona(username="ada", name="Ada", tagline={}, prompt="You are Ada."),
        prompt="Be kind.",
        history=(
            Turn("system", "Be brief."),
            Turn("user", "Hello"),
            Turn("system", " "),
            Turn("assistant", "Good day"),
        ),
    )
    assert made == {
        "model": "m1",
        "max_tokens": 4096,
        "system": "You are Ada.\n\nBe kind.\n\nBe brief.",
        "messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day"}, QUESTION],
        "stream": False,
    }


@pytest.mark.parametrize(
    ("history", "since", "written"),
    [
        pytest.param(
            (Turn("user", "One."), Turn("system", "x"), Turn("user", "Two.")),
            (),
            [{"role": "user", "content": [text("One."), text("Two."), text("How many?")]}],
            id="neighbours",
        ),
        pytest.param(
            (Turn("assistant", "Welcome."),),
            (),
            [{"role": "user", "content": "…"}, {"role": "assistant", "content": "Welcome."}, QUESTION],
            id="the user begins",
        ),
        pytest.param(
            (Turn("user", "Hello"), Turn("assistant", " \n")),
            (),
            [{"role": "user", "content": [text("Hello"), text("How many?")]}],
            id="no blank texts",
        ),
        pytest.param(
            (), (Turn("assistant", "The answer is \n"),), [QUESTION, {"role": "assistant", "content": "The answer is"}],
            id="a beginning",
        ),
        pytest.param(
            (), (Turn("tool", "of whom?"),), [{"role": "user", "content": [text("How many?"), text("of whom?")]}],
            id="a result of no call",
        ),
    ],
)  # fmt: skip
def test_turns_are_arranged_by_the_rules_of_the_api(
    history: tuple[Turn, ...], since: tuple[Turn, ...], written: object
) -> None:
    """User and assistant alternate, the user begins, no text is blank, and no prefill ends with a space."""
    messages_made = body(history=history, tool_turns=since)["messages"]
    assert messages_made == written


def use(id_: str, **given: object) -> dict[str, Any]:
    return {"type": "tool_use", "id": id_, "name": "look", "input": given}


def test_tool_calls_and_results_become_blocks() -> None:
    """Arguments are objects, even invalid ones; results come first in a user message."""
    calls = tuple(
        ToolCall(id_, "look", arguments)
        for id_, arguments in (("1", '{"at": "sky"}'), ("call:2.x", ""), ("3", '{"at":'), ("4", "[1]"))
    )
    assert messages(
        tool_turns=(
            Turn("assistant", "I look.", calls=calls),
            Turn("tool", "blue", call_id="1"),
            Turn("tool", "", call_id="call:2.x"),
            Turn("tool", "", call_id="3", failed=True),
            Turn("user", "And?"),
            Turn("tool", "a cat", ("a cat", Attachment(CAT)), call_id="4", failed=True),
        )
    ) == [
        QUESTION,
        {
            "role": "assistant",
            "content": [
                text("I look."),
                use("1", at="sky"),
                use("call_2_x"),
                use("3", arguments='{"at":'),
                use("4", arguments="[1]"),
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": "blue"},
                {"type": "tool_result", "tool_use_id": "call_2_x"},
                {"type": "tool_result", "tool_use_id": "3", "content": "The tool failed.", "is_error": True},
                {
                    "type": "tool_result",
                    "tool_use_id": "4",
                    "content": [
                        text("a cat"),
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
                    ],
                    "is_error": True,
                },
                text("And?"),
            ],
        },
    ]


@pytest.mark.parametrize(
    ("url", "source"),
    [
        (CAT, {"type": "base64", "media_type": "image/png", "data": "iVBO"}),
        ("data:image/jpg;base64,/9j/", {"type": "base64", "media_type": "image/jpeg", "data": "/9j/"}),
        ("https://x.example/dog.png", {"type": "url", "url": "https://x.example/dog.png"}),
    ],
)
def test_an_image_is_sent_as_data_or_url(url: str, source: dict[str, str]) -> None:
    """The detail level is left out."""
    parts = ("What is this?", Attachment(url, "high"))
    assert messages(message="What is this?", parts=parts) == [
        {"role": "user", "content": [text("What is this?"), {"type": "image", "source": source}]}
    ]


@pytest.mark.parametrize(
    ("attachment", "block"),
    [
        (
            Attachment("data:application/pdf;base64,JVBE", type="file", name="a.pdf"),
            {"source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}, "title": "a.pdf"},
        ),
        (
            Attachment("https://x.example/b.pdf", type="file"),
            {"source": {"type": "url", "url": "https://x.example/b.pdf"}},
        ),
        (
            Attachment("data:text/csv;base64,YSxi", type="file", name="a.csv"),
            {"source": {"type": "text", "media_type": "text/plain", "data": "a,b"}, "title": "a.csv"},
        ),
    ],
)
def test_a_file_is_a_document(attachment: Attachment, block: dict[str, Any]) -> None:
    """With its name as the title."""
    assert messages(parts=("How many?", attachment)) == [
        {"role": "user", "content": [text("How many?"), {"type": "document", **block}]}
    ]

"""Tests of request bodies of the Chat Completions API, compared as whole JSON objects."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from persona_stream.backends.openai.request import build_request
from persona_stream.core.content import Attachment, Tool, ToolCall, ToolChoice
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


def test_sampling_parameters_are_forwarded() -> None:
    """They cannot replace the model, the messages or the stream flag."""
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


def test_a_long_id_of_the_end_user_becomes_a_digest() -> None:
    """OpenAI accepts 64 characters; Anthropic's clients send more (looplj/axonhub #1669, maximhq/bifrost PR 1000)."""
    assert body(parameters={"user": "u" * 64})["user"] == "u" * 64
    assert body(parameters={"user": "u" * 65})["user"] == hashlib.sha256(b"u" * 65).hexdigest()


def test_parameters_that_openai_rejects_are_left_out() -> None:
    """OpenAI rejects unknown fields."""
    assert body(parameters={"top_k": 5}) == {"model": "m1", "messages": [QUESTION], "stream": False}


def test_a_stream_is_requested_with_its_usage() -> None:
    """The last chunk contains it."""
    assert body(stream=True) == {
        "model": "m1",
        "messages": [QUESTION],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_tools_are_forwarded() -> None:
    """Name, description, schema and strictness; unset fields are left out."""
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
def test_every_tool_choice_is_converted(choice: ToolChoice, written: object) -> None:
    """In the client's sense."""
    assert body(tools=(LOOK,), tool_choice=choice)["tool_choice"] == written


def test_tool_parameters_are_left_out_without_tools() -> None:
    """OpenAI rejects parallel_tool_calls in such requests."""
    assert body(parameters={"parallel_tool_calls": True}) == {"model": "m1", "messages": [QUESTION], "stream": False}


def test_images_keep_their_position() -> None:
    """In the message and in earlier turns, with their detail."""
    assert messages(
        message="What is this?\nAnd that?",
        parts=("What is this?", Attachment(CAT), "And that?", Attachment("https://x.example/dog.png", "low")),
        history=(Turn("user", "Look", ("Look", Attachment(CAT, "auto"))), Turn("assistant", "A cat.")),
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
    return {"id": id_, "type": "function", "function": {"name": "look", "arguments": '{"at":"sky"}'}}


def test_tool_turns_follow_the_message() -> None:
    """A failed call without text gets one."""
    assert messages(
        persona=Persona(username="ada", name="Ada", tagline={}, prompt="You are Ada."),
        history=(Turn("system", "Be brief."),),
        tool_turns=(
            Turn("assistant", "", calls=(ToolCall("1", "look", '{"at":"sky"}'), ToolCall("2", "look", '{"at":"sky"}'))),
            Turn("tool", "blue", call_id="1"),
            Turn("tool", "", call_id="2", failed=True),
            Turn("assistant", "Once more.", calls=(ToolCall("3", "look", '{"at":"sky"}'),)),
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


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        pytest.param('{"at": "sky" }', '{"at": "sky" }', id="an object"),
        pytest.param('{"at":', '{"arguments": "{\\"at\\":"}', id="justrach/codegraff #752: cut"),
        pytest.param('["sky"]', '{"arguments": "[\\"sky\\"]"}', id="sgl-project/sglang PR 28035: a list"),
        pytest.param("", "{}", id="NousResearch/hermes-agent PR 4724: none"),
    ],
)
def test_arguments_of_earlier_calls_are_objects(written: str, sent: str) -> None:
    """Strict providers would reject every later turn of the conversation (local-inference-lab/vllm #684)."""
    turn = Turn("assistant", "", calls=(ToolCall("1", "look", written),))
    assert messages(tool_turns=(turn,))[-1]["tool_calls"][0]["function"]["arguments"] == sent


@pytest.mark.parametrize("after", [(), (Turn("assistant", "I see"),)])
def test_images_of_tool_results_follow_all_results(after: tuple[Turn, ...]) -> None:
    """A result can contain text only, and results must be adjacent."""
    assert messages(
        tool_turns=(
            Turn("assistant", "", calls=(ToolCall("1", "look", '{"at":"sky"}'), ToolCall("2", "look", '{"at":"sky"}'))),
            Turn("tool", "this", ("this", Attachment(CAT)), call_id="1"),
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


@pytest.mark.parametrize(
    ("attachment", "part"),
    [
        (
            Attachment("data:application/pdf;base64,JVBE", type="file", name="a.pdf"),
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        ),
        (
            Attachment("data:application/pdf;base64,JVBE", type="file"),  # the API requires a name
            {"type": "file", "file": {"filename": "file.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        ),
        (
            Attachment("https://x.example/b.pdf?v=1", type="file"),  # as OpenRouter has it
            {"type": "file", "file": {"filename": "b.pdf", "file_data": "https://x.example/b.pdf?v=1"}},
        ),
        (Attachment("data:text/csv;base64,YSxi", type="file", name="a.csv"), {"type": "text", "text": "a.csv:\na,b"}),
        (Attachment("data:text/csv;base64,YSxi", type="file"), {"type": "text", "text": "a,b"}),
        (
            Attachment("data:audio/mpeg;base64,AAAA", type="audio"),
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
        ),
        (
            Attachment("data:audio/x-wav;base64,AAAA", type="audio"),
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        ),
        (
            Attachment("https://x.example/c.mp3", type="audio"),  # as Qwen has it
            {"type": "input_audio", "input_audio": {"data": "https://x.example/c.mp3", "format": "mp3"}},
        ),
    ],
)
def test_files_and_recordings(attachment: Attachment, part: dict[str, Any]) -> None:
    """A file of text is text, because few providers take such files."""
    assert messages(parts=("How many?", attachment)) == [
        {"role": "user", "content": [{"type": "text", "text": "How many?"}, part]}
    ]

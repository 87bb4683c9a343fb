"""Tests of request bodies of the Responses API, compared as whole JSON objects."""

from __future__ import annotations

import json
from typing import Any

import pytest

from persona_stream.backends.openai_responses.request import build_request
from persona_stream.core.content import Attachment, ProviderFields, Tool, ToolCall, ToolChoice
from persona_stream.core.query import Query, Turn

CAT = "data:image/png;base64,iVBO"
LOOK = Tool("look", "Looks.", {"type": "object"}, strict=True)
WAIT = Tool("wait", None, {})
PLAIN = {
    "model": "m1", "input": [{"role": "user", "content": "How many?"}], "stream": False, "store": False,
    "include": ["reasoning.encrypted_content"],
}  # fmt: skip


def body(*, stream: bool = False, **fields: Any) -> Any:
    query = Query(**{"username": "ada", "message": "How many?"} | fields)
    return json.loads(json.dumps(build_request(query, "m1", stream=stream)))


@pytest.mark.parametrize("changed", ["x", [["0", {}]], [[0, {"type": "message", "role": "system"}]], [[0]]])
def test_reasoning_items_that_a_client_changed_are_left_out(changed: Any) -> None:
    """They would reach the provider as a message of the conversation."""
    turn = Turn("assistant", "Hello.", extras=ProviderFields("openai", {"reasoning_items": changed}))
    assert body(history=(turn,))["input"][0] == {"role": "assistant", "content": "Hello."}
    assert len(body(history=(turn,))["input"]) == 2


def test_a_question() -> None:
    """The provider keeps nothing."""
    assert body() == PLAIN
    assert body(stream=True) == PLAIN | {"stream": True}
    assert body(prompt="Be brief.") == PLAIN | {"instructions": "Be brief."}


def test_parameters_have_their_names_in_this_api() -> None:
    """Those that it does not have are left out, and none replaces the question."""
    schema = {"name": "n", "schema": {"type": "object"}, "strict": True}
    given = {
        "temperature": 0.5, "max_tokens": 9, "reasoning_effort": "low", "verbosity": "low", "user": "alice",
        "response_format": {"type": "json_schema", "json_schema": schema}, "stop": ("a",), "seed": 3, "top_k": 5,
        "parallel_tool_calls": False, "model": "other", "input": "forged",
    }  # fmt: skip
    assert body(parameters=given) == PLAIN | {
        "temperature": 0.5,
        "user": "alice",
        "max_output_tokens": 9,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "json_schema", **schema}, "verbosity": "low"},
    }
    assert body(parameters={"max_completion_tokens": 8, "max_tokens": 9})["max_output_tokens"] == 8
    assert body(parameters={"response_format": {"type": "json_object"}})["text"] == {"format": {"type": "json_object"}}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [(ToolChoice("required"), "required"), (ToolChoice("named", "look"), {"type": "function", "name": "look"})],
)
def test_tools(choice: ToolChoice, sent: object) -> None:
    """Their definitions are flat, and not strict unless the client says so."""
    made = body(tools=(LOOK, WAIT), tool_choice=choice, parameters={"parallel_tool_calls": False})
    assert made == PLAIN | {
        "parallel_tool_calls": False,
        "tools": [
            {
                "type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object"},
                "strict": True,
            },
            {"type": "function", "name": "wait", "parameters": {"type": "object", "properties": {}}, "strict": False},
        ],
        "tool_choice": sent,
    }  # fmt: skip


def test_the_conversation() -> None:
    """Calls and their results are items of their own; images stay in the results."""
    history = (Turn("system", "Be brief."), Turn("user", "Hi"), Turn("assistant", "Hello."))
    tool_turns = (
        Turn("assistant", "Let me look.", calls=(ToolCall("call_1", "look", '{"at":"sky"}'),)),
        Turn("tool", "A cat", ("A cat", Attachment(CAT)), call_id="call_1"),
        Turn("assistant", "", calls=(ToolCall("call_2", "look", "{}"),)),
        Turn("tool", "", call_id="call_2", failed=True),
        Turn("tool", "Who called?"),
    )
    made = body(parts=("How many?", Attachment(CAT, "low")), history=history, tool_turns=tool_turns)
    assert made["input"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "How many?"},
                {"type": "input_image", "image_url": CAT, "detail": "low"},
            ],
        },
        {"role": "assistant", "content": "Let me look."},
        {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"at":"sky"}'},
        {
            "type": "function_call_output",
            "call_id": "call_1",
            "output": [{"type": "input_text", "text": "A cat"}, {"type": "input_image", "image_url": CAT}],
        },
        {"type": "function_call", "call_id": "call_2", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_2", "output": "The tool failed."},
        {"role": "user", "content": "Who called?"},
    ]


@pytest.mark.parametrize(
    ("attachment", "part"),
    [
        (
            Attachment("data:application/pdf;base64,JVBE", type="file", name="a.pdf"),
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
        ),
        (
            Attachment("https://x.example/b.pdf", type="file"),
            {"type": "input_file", "file_url": "https://x.example/b.pdf"},
        ),
        (
            Attachment("data:text/csv;base64,YSxi", type="file", name="a.csv"),
            {"type": "input_text", "text": "a.csv:\na,b"},
        ),
    ],
)
def test_files(attachment: Attachment, part: dict[str, Any]) -> None:
    """By content or by address; a file of text is text."""
    assert body(parts=("How many?", attachment))["input"] == [
        {"role": "user", "content": [{"type": "input_text", "text": "How many?"}, part]}
    ]

"""Tests of requests of the Responses API: items become turns, and fields parameters."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from persona_stream.core.content import Attachment, ToolCall
from persona_stream.core.query import Turn
from persona_stream.errors import InvalidRequest
from persona_stream.protocols.openai_responses import decoder

PIXEL = "data:image/png;base64,iVBORw0KGgo="


def turns(*items: dict[str, Any]) -> list[Turn]:
    return decoder.parse_turns(decoder.parse_items(items))


def request(**fields: Any) -> decoder.CreateResponseRequest:
    body = msgspec.json.encode({"model": "ada", "input": "Hi", **fields})
    return decoder.request_decoder.decode(body)


def test_messages_with_and_without_a_type():
    """Clients leave it out: openai/codex #12230, #11834, #12114."""
    assert turns(
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "My name is Alice."}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Hello Alice!", "annotations": []}]},
        {"role": "user", "content": "What is my name?"},
    ) == [
        Turn("system", "Be brief."),
        Turn("user", "My name is Alice."),
        Turn("assistant", "Hello Alice!"),
        Turn("user", "What is my name?"),
    ]


def test_an_answer_of_several_items_is_one_turn():
    """Providers want calls in the message before them; reasoning precedes both."""
    assert turns(
        {"role": "user", "content": "Weather in Wien?"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "I should look."}]},
        {"role": "assistant", "content": "Let me look."},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Wien"}'},
        {"type": "function_call", "call_id": "call_2", "name": "clock", "namespace": "tools", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "Rain"},
        {"type": "function_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "12:00"}]},
        {"role": "assistant", "content": "It rains."},
        {"role": "user", "content": "And tomorrow?"},
    ) == [
        Turn("user", "Weather in Wien?"),
        Turn(
            "assistant",
            "Let me look.",
            calls=(ToolCall("call_1", "weather", '{"city":"Wien"}'), ToolCall("call_2", "tools__clock", "{}")),
            reasoning="I should look.",
        ),
        Turn("tool", "Rain", call_id="call_1"),
        Turn("tool", "12:00", call_id="call_2"),
        Turn("assistant", "It rains."),
        Turn("user", "And tomorrow?"),
    ]


def test_calls_of_custom_tools():
    """Their text is the argument of the function that stands for the tool."""
    assert turns(
        {"role": "user", "content": "Patch it."},
        {"type": "custom_tool_call", "call_id": "call_1", "name": "patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "call_1", "output": "Done"},
    )[1:] == [
        Turn("assistant", "", calls=(ToolCall("call_1", "patch", '{"input":"*** Begin"}'),)),
        Turn("tool", "Done", call_id="call_1"),
    ]


def test_images_and_files_of_text():
    """The content keeps its order; a file of text is its text."""
    (turn,) = turns(
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is this?"},
                {"type": "input_image", "image_url": PIXEL, "detail": "low"},
                {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,SGVsbG8="},
            ],
        }
    )
    assert turn == Turn("user", "What is this?\nHello", ("What is this?", Attachment(PIXEL, "low"), "Hello"))


def test_files_are_attachments():
    """By their content, or by their address."""
    data = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}
    address = {"type": "input_file", "file_url": "https://example.org/b.pdf"}
    [turn] = turns({"role": "user", "content": [data, address]})
    assert turn.parts == (
        Attachment("data:application/pdf;base64,AAAA", type="file", name="a.pdf"),
        Attachment("https://example.org/b.pdf", type="file"),
    )


@pytest.mark.parametrize(
    ("part", "error"),
    [
        ({"type": "input_audio"}, "unsupported type 'input_audio'"),
        ({"type": "input_image", "file_id": "file_1"}, "image_url: is required"),
        ({"type": "input_image", "image_url": "ftp://x"}, "must be the URL of an image"),
        ({"type": "input_file", "file_id": "file_1"}, "file_data: is required"),
        ({"type": "input_text"}, "text: is required"),
    ],
)
def test_other_content_is_rejected_in_the_question_and_a_note_before_it(part: dict[str, Any], error: str):
    """A client repeats its conversation in each request: one refusal would be its end."""
    with pytest.raises(InvalidRequest, match=rf"^input\[0\]\.content\[0\].*{error}") as caught:
        turns({"role": "user", "content": [part]})
    assert caught.value.field == "input"
    assert turns({"role": "user", "content": [part]}, {"role": "user", "content": "And?"})[0].content.startswith("[")


@pytest.mark.parametrize(
    ("item", "error"),
    [
        ({"type": "function_call_output", "call_id": "call_9", "output": ""}, "no call before it has the id 'call_9'"),
        ({"type": "function_call", "name": "weather"}, "call_id and name are required"),
        ({"type": "message", "content": "Hi"}, "role: is required"),
        ({"content": "Hi"}, "type: is required"),
    ],
)
def test_an_incomplete_item_is_rejected(item: dict[str, Any], error: str):
    """The error has its index."""
    with pytest.raises(InvalidRequest, match=rf"^input\[1\].*{error}"):
        turns({"role": "user", "content": "Hi"}, item)


def test_items_of_tools_of_openai_are_skipped():
    """They come with conversations that began elsewhere."""
    found = turns({"type": "web_search_call", "id": "ws_1", "status": "completed"}, {"role": "user", "content": "Hi"})
    assert found == [Turn("user", "Hi")]


def test_parameters_have_the_names_of_chat_completions():
    """So a backend needs to know one set of names."""
    schema = {"type": "json_schema", "name": "city", "schema": {"type": "object"}, "strict": True}
    sent = request(
        temperature=0.5,
        max_output_tokens=100,
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": schema, "verbosity": "low"},
        metadata={"team": "a"},
        user="alice",
        parallel_tool_calls=False,
        truncation="auto",
        max_tool_calls=3,
    )
    assert dict(sent.parameters) == {
        "temperature": 0.5,
        "max_completion_tokens": 100,
        "reasoning_effort": "low",
        "verbosity": "low",
        "response_format": {
            "type": "json_schema", "json_schema": {"name": "city", "schema": {"type": "object"}, "strict": True},
        },
        "metadata": {"team": "a"},
        "user": "alice",
        "parallel_tool_calls": False,
    }  # fmt: skip
    assert dict(request(text={"format": {"type": "json_object"}}).parameters) == {
        "response_format": {"type": "json_object"}
    }
    assert dict(request(text={"format": {"type": "text"}}, store=True).parameters) == {}


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"conversation": "c-1", "previous_response_id": "resp_1"}, "conversation"),
    ],
)
def test_fields_that_no_backend_supports_are_rejected(fields: dict[str, Any], name: str):
    """The error names the field."""
    with pytest.raises(InvalidRequest, match=f"^{name}: ") as caught:
        decoder.check_request(request(**fields))
    assert caught.value.field == name


def test_a_conversation_is_an_id_or_an_object():
    """As OpenAI has it."""
    assert request(conversation="c-1").conversation_id == "c-1"
    assert request(conversation={"id": "c-1"}).conversation_id == "c-1"
    assert request().conversation_id is None


def test_the_stored_request_repeats_what_was_sent():
    """Without the model, which the journal has, and without fields that a response does not have."""
    raw = {"model": "ada", "input": "Hi", "tools": [{"type": "function", "name": "x", "own": 1}], "user": None, "x": 1}
    assert decoder.raw_input_items(raw) == [{"type": "message", "role": "user", "content": "Hi"}]
    assert decoder.build_stored_request(raw, None).parameters == {"tools": raw["tools"]}


def test_listed_items_have_ids_and_parts():
    """An id that the client sent is kept."""
    items = [{"role": "user", "content": "Hi"}, {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "x"}]
    assert decoder.listed_items(items, "run") == [
        {"id": "in_run_0", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        items[1],
    ]

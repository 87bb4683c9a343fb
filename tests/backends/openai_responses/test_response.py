"""Tests of whole responses of the Responses API, and of its errors."""

from __future__ import annotations

from typing import Any

import pytest

from persona_stream.backends.openai_responses.response import parse_completion, parse_error
from persona_stream.backends.providers.errors import ErrorKind, ProviderError
from persona_stream.core.content import ProviderFields, ToolCall
from persona_stream.core.query import Answer, Usage

CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look", "arguments": '{"at":"sky"}'}


def message(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": list(parts)}


def text(value: str) -> dict[str, Any]:
    return {"type": "output_text", "text": value, "annotations": []}


def reasoning(*summary: str, content: str = "") -> dict[str, Any]:
    parts = [{"type": "summary_text", "text": part} for part in summary]
    return {
        "type": "reasoning",
        "id": "rs_1",
        "summary": parts,
        "content": [{"type": "reasoning_text", "text": content}],
    }


def body(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "status": "completed", "error": None, "output": list(output)} | more


def usage(**details: Any) -> dict[str, Any]:
    return {"input_tokens": 7, "output_tokens": 9, "total_tokens": 16, **details}


@pytest.mark.parametrize(
    ("parsed", "answer"),
    [
        pytest.param(body(message(text("Forty"), text("-two."))), Answer("Forty-two."), id="text"),
        pytest.param(body(message(text("42"))) | {"status": None}, Answer("42"), id="without a status"),
        pytest.param(
            body(reasoning("6 × 7", "= 42"), message(text("42"))), Answer("42", "6 × 7\n\n= 42"), id="summary"
        ),
        pytest.param(body(reasoning(content="6 × 7"), message(text("42"))), Answer("42", "6 × 7"), id="reasoning"),
        pytest.param(
            body(message(text("I look.")), CALL),
            Answer("I look.", finish="tools", calls=(ToolCall("call_1", "look", '{"at":"sky"}'),)),
            id="call",
        ),
        pytest.param(
            body({"type": "function_call", "id": "fc_1", "name": "look"}),
            Answer("", finish="tools", calls=(ToolCall("fc_1", "look", "{}"),)),
            id="call with its item's id only",
        ),
        pytest.param(
            body(message(text("Half")), status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            Answer("Half", finish="length"),
            id="length",
        ),
        pytest.param(
            body(message(text("Half")), status="incomplete", incomplete_details={"reason": "content_filter"}),
            Answer("Half", finish="filter"),
            id="filter",
        ),
        pytest.param(
            body(message({"type": "refusal", "refusal": "I cannot."})),
            Answer("I cannot.", finish="refusal"),
            id="refusal",
        ),
        pytest.param(
            body(message(text("42")), usage=usage(output_tokens_details={"reasoning_tokens": 5})),
            Answer("42", usage=Usage(input_tokens=7, output_tokens=9, reasoning_tokens=5)),
            id="usage",
        ),
        pytest.param(
            body(message(text("42")), usage=usage(input_tokens_details={"cached_tokens": 3})),
            Answer(
                "42",
                usage=Usage(input_tokens=7, output_tokens=9),
                extras=ProviderFields("openai", {"usage": {"prompt_tokens_details": {"cached_tokens": 3}}}),
            ),
            id="cached tokens",
        ),
        pytest.param(
            body({"type": "web_search_call", "id": "ws_1"}, message(text("42"))), Answer("42"), id="other items"
        ),
    ],
)
def test_answers(parsed: dict[str, Any], answer: Answer) -> None:
    """Of each kind that the API has."""
    assert parse_completion(parsed) == answer


@pytest.mark.parametrize(
    ("parsed", "kind"),
    [
        ({"choices": []}, "unreadable"),
        (body(), "empty"),
        (body(message()), "empty"),
        (body({"type": "function_call", "call_id": "call_1"}), "unreadable"),
        (body({"type": "function_call", "name": "look"}), "unreadable"),
        (body(message(), status="incomplete", incomplete_details={"reason": "content_filter"}), "filtered"),
    ],
)
def test_no_answer(parsed: dict[str, Any], kind: ErrorKind) -> None:
    """An empty answer is never shown as one."""
    with pytest.raises(ProviderError) as caught:
        parse_completion(parsed)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    "parsed",
    [
        {"error": {"message": "Too long.", "type": "invalid_request_error", "code": "context_length_exceeded"}},
        {"type": "error", "code": "context_length_exceeded", "message": "Too long.", "param": None},
        {"type": "error", "error": {"code": "context_length_exceeded", "message": "Too long."}},
        {
            "type": "response.failed",
            "response": body(status="failed", error={"code": "context_length_exceeded", "message": "Too long."}),
        },
        body(status="failed", error={"code": "context_length_exceeded", "message": "Too long."}),
        {"error": {"message": "Too long.", "param": "input[0].content[0].text", "code": "string_above_max_length"}},
    ],
    ids=["HTTP", "event", "event of Open Responses", "failed event", "failed response", "text above the limit"],
)
def test_errors_keep_their_meaning(parsed: dict[str, Any]) -> None:
    """In each of the forms that the API has."""
    found = parse_error(parsed)
    assert found is not None
    assert (found.kind, "Too long." in found.words) == ("too_long", True)


@pytest.mark.parametrize(
    "parsed",
    [
        None,
        body(message(text("42"))),
        {"type": "response.created", "response": body(status="in_progress")},
        {"type": "response.output_text.delta", "delta": "42"},
        {"type": "response.completed", "response": body(message(text("42")))},
    ],
)
def test_answers_are_no_errors(parsed: object) -> None:
    """Their error is null."""
    assert parse_error(parsed) is None


def test_a_failure_without_words_is_one() -> None:
    """A failed response is never an answer."""
    assert parse_error(body(message(text("42")), status="failed")) is not None

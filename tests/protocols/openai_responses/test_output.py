"""Tests of response objects: functions of a run's journal."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from persona_stream.core.content import ProviderFields, ToolCall
from persona_stream.core.facts import (
    AnswerDelta,
    Answered,
    Entry,
    Fact,
    Failed,
    FailureCode,
    ProviderDelta,
    ReasoningDelta,
    Started,
)
from persona_stream.core.query import Finish, Usage
from persona_stream.errors import NotFound
from persona_stream.protocols.openai_responses import output
from tests.fakes import RUN_ID, accepted, entries

AT = 1_795_154_400.25
USAGE = Usage(input_tokens=412, output_tokens=19, reasoning_tokens=7)


def journal(*facts: Fact, request: output.StoredRequest | None = None) -> list[Entry]:
    stored = "" if request is None else msgspec.json.encode(request).decode()
    begun = (msgspec.structs.replace(accepted(), request=stored), Started(), *facts)
    return entries(*((AT + index, fact) for index, fact in enumerate(begun)))


def body(run: list[Entry]) -> dict[str, Any]:
    return json.loads(msgspec.json.encode(output.response_object(run)))


def items(run: list[Entry]) -> list[tuple[str, str, str]]:
    return [(item["type"], item["id"], item["status"]) for item in body(run)["output"]]


# The members that https://www.openresponses.org/specification requires; ggml-org/llama.cpp PR 19720 lacked 24 of them.
REQUIRED = {
    "id", "object", "created_at", "completed_at", "status", "incomplete_details", "model", "previous_response_id",
    "instructions", "output", "error", "tools", "tool_choice", "truncation", "parallel_tool_calls", "text", "top_p",
    "presence_penalty", "frequency_penalty", "top_logprobs", "temperature", "reasoning", "user", "usage",
    "max_output_tokens", "max_tool_calls", "store", "background", "service_tier", "metadata", "safety_identifier",
    "prompt_cache_key",
}  # fmt: skip


def test_a_whole_response():
    """Every member that strict clients require is present, null where it is unknown."""
    run = journal(ReasoningDelta("Hm."), Answered("Hello.", USAGE))
    assert body(run) == {
        "id": f"resp_{RUN_ID}",
        "object": "response",
        "created_at": 1795154400,
        "completed_at": 1795154403,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": "VitalikButerin",
        "output": [
            {
                "type": "reasoning",
                "id": f"rs_{RUN_ID}_0",
                "status": "completed",
                "summary": [{"type": "summary_text", "text": "Hm."}],
                "content": [],
                "encrypted_content": None,
            },
            {
                "type": "message",
                "id": f"msg_{RUN_ID}_0",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Hello.", "annotations": [], "logprobs": []}],
            },
        ],
        "usage": {
            "input_tokens": 412,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 19,
            "output_tokens_details": {"reasoning_tokens": 7},
            "total_tokens": 431,
        },
        "conversation": {"id": "chat_123"},
        "previous_response_id": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "top_p": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "top_logprobs": 0,
        "tools": [],
        "tool_choice": "auto",
        "text": {"format": {"type": "text"}},
        "reasoning": {"effort": None, "summary": None},
        "truncation": "disabled",
        "store": True,
        "background": False,
        "service_tier": "default",
        "metadata": {},
        "user": None,
        "safety_identifier": None,
        "prompt_cache_key": None,
    }


@pytest.mark.parametrize("ending", [None, Answered("Hi."), Failed("timeout")], ids=lambda ending: type(ending).__name__)
def test_the_required_members_are_always_present(ending: Fact | None):
    """In every state."""
    assert body(journal(*([] if ending is None else [ending]))).keys() >= REQUIRED


def test_the_parameters_of_the_request_are_repeated():
    """In every process, since the journal has them. Without storage there is no conversation."""
    sent = {"instructions": "Be brief.", "temperature": 0.5, "store": False, "metadata": {"a": "b"}}
    repeated = body(journal(Answered("Hi."), request=output.StoredRequest(sent)))
    assert {name: repeated[name] for name in sent} == sent
    assert repeated["conversation"] is None


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tools", "completed", None),
        ("refusal", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("filter", "incomplete", "content_filter"),
    ],
)
def test_an_answer_that_ended_early_is_incomplete(finish: Finish, status: str, reason: str | None):
    """And so is its message. A truncated answer is never presented as complete."""
    response = body(journal(Answered("Half of", finish=finish)))
    assert (response["status"], response["output"][0]["status"]) == (status, status)
    assert response["incomplete_details"] == (None if reason is None else {"reason": reason})
    assert (response["completed_at"] is None) == (status == "incomplete")


@pytest.mark.parametrize(
    ("code", "status", "shown"),
    [
        ("backend_error", "failed", "backend_error"),
        ("timeout", "failed", "timeout"),
        ("rate_limited", "failed", "rate_limit_exceeded"),
        ("cancelled", "cancelled", "cancelled"),
    ],
)
def test_a_failed_run_has_its_words_and_the_text_so_far(code: FailureCode, status: str, shown: str):
    """BerriAI/litellm #36275 ended as completed, with empty output."""
    response = body(journal(AnswerDelta("Half of"), Failed(code, "It broke.")))
    assert (response["status"], response["error"]["code"]) == (status, shown)
    assert "It broke." in response["error"]["message"]
    assert response["usage"] is None
    assert items(journal(AnswerDelta("Half of"), Failed(code))) == [("message", f"msg_{RUN_ID}_0", "incomplete")]


def test_a_run_in_progress():
    """Its last item is in progress; before the start it is queued."""
    assert body(journal()[:1])["status"] == "queued"
    run = journal(ReasoningDelta("Hm."), AnswerDelta("Half"))
    assert body(run)["status"] == "in_progress"
    assert [status for _, _, status in items(run)] == ["completed", "in_progress"]


def test_items_of_one_kind_are_counted_together():
    """An id names its item for ever, however the run goes on."""
    run = journal(ReasoningDelta("a"), AnswerDelta("b"), AnswerDelta("c"), ReasoningDelta("d"), Answered("e"))
    assert [item_id for _, item_id, _ in items(run)] == [
        f"rs_{RUN_ID}_0", f"msg_{RUN_ID}_0", f"rs_{RUN_ID}_1", f"msg_{RUN_ID}_1",
    ]  # fmt: skip
    assert [segment.text for segment in output.output_segments(run)] == ["a", "bc", "d", "e"]


def test_calls_follow_the_message():
    """Ids of items are the server's own, and ids of calls the backend's."""
    calls = (ToolCall("call_1", "weather", '{"city":"Wien"}'), ToolCall("call_2", "patch", '{"input":"x"}'))
    tools = [{"type": "function", "name": "weather"}, {"type": "custom", "name": "patch"}]
    run = journal(Answered("I look.", finish="tools", calls=calls), request=output.StoredRequest({"tools": tools}))
    assert items(run)[1:] == [
        ("function_call", f"call_{RUN_ID}_0", "completed"), ("custom_tool_call", f"call_{RUN_ID}_1", "completed"),
    ]  # fmt: skip
    assert [each["call_id"] for each in body(run)["output"][1:]] == ["call_1", "call_2"]


def test_a_refusal_has_a_part_of_its_own():
    """If it is known when its text begins: a later ending must not change a replay."""
    (item,) = body(journal(Answered("I cannot.", finish="refusal")))["output"]
    assert item["content"] == [{"type": "refusal", "refusal": "I cannot."}]
    streamed = journal(ProviderDelta("openai", ({"refusal": ""},)), AnswerDelta("I "), Answered("cannot."))
    assert body(streamed)["output"][0]["content"][0]["type"] == "refusal"
    late = journal(AnswerDelta("I "), Answered("cannot.", finish="refusal"))
    assert body(late)["output"][0]["content"][0]["type"] == "output_text"


def test_tokens_that_an_openai_provider_had_cached():
    """They are part of the input."""
    extras = ProviderFields("openai", {"usage": {"prompt_tokens_details": {"cached_tokens": 400}}})
    details = body(journal(Answered("Hi.", USAGE, extras=extras)))["usage"]["input_tokens_details"]
    assert details == {"cached_tokens": 400, "cache_write_tokens": 0}


@pytest.mark.parametrize(
    "usage", [None, {"prompt_tokens_details": 400}, {"prompt_tokens_details": {"cached_tokens": "4"}}]
)
def test_cached_tokens_in_another_form_are_left_out(usage: object):
    """The fields of a provider are not checked when they enter."""
    extras = ProviderFields("openai", {"usage": usage})
    details = body(journal(Answered("Hi.", USAGE, extras=extras)))["usage"]["input_tokens_details"]
    assert details == {"cached_tokens": 0, "cache_write_tokens": 0}


@pytest.mark.parametrize("response_id", ["", "resp", RUN_ID, f"msg_{RUN_ID}"])
def test_another_id_is_not_found(response_id: str):
    """Only ids of responses are."""
    with pytest.raises(NotFound, match="not found"):
        output.parse_response_id(response_id)
    assert output.parse_response_id(f"resp_{RUN_ID}") == RUN_ID

"""What a provider requires back: it travels through a client of responses, and reaches the provider as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from persona_stream.backends.anthropic import request as anthropic_request
from persona_stream.backends.anthropic import response as anthropic_response
from persona_stream.backends.openai import request as openai_request
from persona_stream.backends.openai import response as openai_response
from persona_stream.backends.openai_responses import request as responses_request
from persona_stream.backends.openai_responses import response as responses_response
from persona_stream.core.facts import Answered, ReasoningDelta
from persona_stream.core.query import Answer, Query, Turn
from persona_stream.protocols import provider_state
from persona_stream.protocols.openai_responses import decoder, output
from tests.fakes import entries
from tests.protocols.transcripts import AT, BEGUN

ARGUMENTS = '{"at":"sky"}'
GEMINI_CALL = {
    "id": "call_1", "type": "function", "function": {"name": "look", "arguments": ARGUMENTS},
    "extra_content": {"google": {"thought_signature": "c2ln"}},
}  # fmt: skip
THINKING = [
    {"type": "thinking", "thinking": "I should look. ", "signature": "sig_1"},
    {"type": "thinking", "thinking": "At the sky.", "signature": "sig_2"},
]
DETAILS = [{"type": "reasoning.encrypted", "data": "x"}]
TOOL_USE = {"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": "sky"}}


def encrypted(number: int) -> dict[str, Any]:
    return {
        "type": "reasoning", "id": f"rs_{number}", "encrypted_content": f"gAAA{number}",
        "summary": [{"type": "summary_text", "text": f"Thought {number}."}],
    }  # fmt: skip


def function_call(number: int) -> dict[str, Any]:
    return {"type": "function_call", "call_id": f"call_{number}", "name": "look", "arguments": ARGUMENTS}


OUTPUT_TEXT = {"type": "output_text", "text": "Let me look."}
RESPONSES_MESSAGE = {"type": "message", "role": "assistant", "content": [OUTPUT_TEXT]}


def through_a_client(answer: Answer) -> Turn:
    """Return the assistant turn of the next request of a client that sends back the output as it came."""
    facts = [ReasoningDelta(answer.reasoning)] if answer.reasoning else []
    ending = Answered(answer.text, finish=answer.finish, calls=tuple(answer.calls), extras=answer.extras)
    items = msgspec.to_builtins(output.output_items(entries(*BEGUN, *((AT, fact) for fact in facts), (AT, ending))))
    turns = decoder.parse_turns(decoder.parse_items([*json.loads(json.dumps(items)), {"role": "user", "content": "?"}]))
    assert [turn.role for turn in turns] == ["assistant", "user"]
    return turns[0]


def chat_completion(message: dict[str, Any]) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", **message}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("answer", "build", "expected"),
    [
        pytest.param(
            openai_response.parse_completion(chat_completion({"content": None, "tool_calls": [GEMINI_CALL]})),
            openai_request.build_messages,
            [{"role": "assistant", "content": None, "tool_calls": [GEMINI_CALL]}],
            id="Gemini's thought signature",
        ),
        pytest.param(
            openai_response.parse_completion(
                chat_completion({"content": "42", "reasoning_details": DETAILS})
            ),
            openai_request.build_messages,
            [{
                "role": "assistant", "content": "42", "reasoning_details": DETAILS
            }],
            id="OpenRouter's reasoning",
        ),
        pytest.param(
            anthropic_response.parse_message(
                {"role": "assistant", "content": [*THINKING, {"type": "text", "text": "Let me look."}, TOOL_USE]}
            ),
            anthropic_request.build_messages,
            [{"role": "assistant", "content": [*THINKING, {"type": "text", "text": "Let me look."}, TOOL_USE]}],
            id="Anthropic's signed thinking",
        ),
        pytest.param(
            responses_response.parse_completion({"status": "completed", "output": [
                encrypted(1), RESPONSES_MESSAGE, encrypted(2), function_call(1), encrypted(3), function_call(2),
            ]}),
            responses_request.build_input,
            [
                encrypted(1), {"role": "assistant", "content": "Let me look."}, encrypted(2), function_call(1),
                encrypted(3), function_call(2),
            ],
            id="encrypted reasoning",
        ),
    ],
)  # fmt: skip
def test_a_client_of_responses_brings_back_what_the_provider_requires(
    answer: Answer, build: Callable[[Query], list[Any]], expected: list[Any]
) -> None:
    """Byte for byte, in its place."""
    query = Query(username="ada", message="?", history=(through_a_client(answer),))
    built = [item for item in json.loads(json.dumps(build(query))) if item.get("role") != "user"]
    assert built == expected


def test_an_answer_without_a_state_has_no_further_item() -> None:
    """Most answers are of providers that require nothing."""
    assert [item.id[:3] for item in output.output_items(entries(*BEGUN, (AT, Answered("42"))))] == ["msg"]


def test_encrypted_content_of_another_server_is_not_sent_on() -> None:
    """A client may continue elsewhere what it began at OpenAI."""
    items = [encrypted(1), {"role": "assistant", "content": "42"}, {"role": "user", "content": "?"}]
    turn, _ = decoder.parse_turns(decoder.parse_items(items))
    assert turn == Turn("assistant", "42", reasoning="Thought 1.")


def test_a_state_that_is_too_large_is_left_out() -> None:
    """The next request repeats it, and a request has a limit."""
    state = provider_state.ProviderState("openai", {"reasoning": "x" * provider_state.MAX_STATE_BYTES})
    assert provider_state.encode(state) == provider_state.SIGNATURE
    assert provider_state.decode(provider_state.SIGNATURE) is None

"""Tests of responses of the Messages API: answers and errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.backends.anthropic.backend import anthropic_adapter
from persona_stream.backends.anthropic.stream import AnthropicStreamDecoder
from persona_stream.backends.providers.errors import ProviderError
from persona_stream.backends.providers.responses import parse_response
from persona_stream.backends.providers.transport import Response
from persona_stream.core.content import ProviderFields, ToolCall
from persona_stream.core.query import Answer, Usage
from tests.backends.fake_provider import message

LOOK = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "天"}}
CALLED = ToolCall("toolu_1", "look", '{"at": "天"}')

CALLED_BARELY = ToolCall("toolu_1", "look", "{}")


def read(body: object, status: int = 200, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_response(Response(status, headers, content), anthropic_adapter(4096))


def extras(reason: str = "end_turn", **more: Any) -> ProviderFields:
    return ProviderFields("anthropic", {"message": {"stop_reason": reason} | more.pop("message", {})} | more)


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (message("Forty-two."), Answer("Forty-two.", extras=extras())),
        (message("Forty", "-two."), Answer("Forty-two.", extras=extras())),
        (message("  kept \n"), Answer("  kept \n", extras=extras())),
        (message("half \ud83d"), Answer("half \ud83d", extras=extras())),
        ({"content": "bare"}, Answer("bare")),
        ({"content": [{"type": "text", "text": "bare"}]}, Answer("bare")),
        (
            message({"type": "thinking", "thinking": "6 × 7", "signature": "x"}, "42"),
            Answer("42", "6 × 7", extras=extras(thinking=[(5, "x")])),
        ),
        (message("I look.", LOOK, stop_reason="tool_use"),
         Answer("I look.", finish="tools", calls=(CALLED,), extras=extras("tool_use"))),
        (message(LOOK), Answer("", finish="tools", calls=(CALLED,), extras=extras())),
        (message(LOOK | {"input": None}), Answer("", finish="tools", calls=(CALLED_BARELY,), extras=extras())),
        (message(LOOK | {"input": {}}), Answer("", finish="tools", calls=(CALLED_BARELY,), extras=extras())),
        (message(LOOK, stop_reason="max_tokens"),
         Answer("", finish="length", calls=(CALLED,), extras=extras("max_tokens"))),
        (message("42", stop_reason="stop_sequence", stop_sequence="."),
         Answer("42", extras=extras("stop_sequence", message={"stop_sequence": "."}))),
        (message("42", stop_reason="pause_turn"), Answer("42", extras=extras("pause_turn"))),
        (message("42", stop_reason="tool_use"), Answer("42", extras=extras("tool_use"))),
        (message("42", stop_reason="max_tokens"), Answer("42", finish="length", extras=extras("max_tokens"))),
        (message("42", stop_reason="model_context_window_exceeded"),
         Answer("42", finish="length", extras=extras("model_context_window_exceeded"))),
        (message(stop_reason="max_tokens"), Answer("", finish="length", extras=extras("max_tokens"))),
        (message("No.", stop_reason="refusal"), Answer("No.", finish="filter", extras=extras("refusal"))),
        (message("42", stop_reason="never heard of"), Answer("42", extras=extras("never heard of"))),
        (message("42", stop_reason=None), Answer("42")),
        (message("42", stop_reason=7), Answer("42", extras=extras(7))),  # type: ignore[arg-type]  # that is the point
        (message("42", {"type": "text"}, {"type": "text", "text": None}, {"type": "thinking"}, None, 7),
         Answer("42", extras=extras())),
        (message("42", usage={"input_tokens": 7, "output_tokens": 9}),
         Answer("42", usage=Usage(input_tokens=7, output_tokens=9), extras=extras())),
        (message("42", usage={"input_tokens": 7, "output_tokens": 9, "cache_creation_input_tokens": 20,
                              "cache_read_input_tokens": 300, "service_tier": "standard"}),
         Answer("42", usage=Usage(input_tokens=327, output_tokens=9),
                extras=extras(usage={"cache_creation_input_tokens": 20, "cache_read_input_tokens": 300,
                                     "service_tier": "standard"}))),
        (message("42", usage={"input_tokens": 7, "output_tokens": 9, "cache_read_input_tokens": None}),
         Answer("42", usage=Usage(input_tokens=7, output_tokens=9), extras=extras())),
        (message("42", usage={"input_tokens": "7", "output_tokens": -9}), Answer("42", extras=extras())),
        (message("42", usage={"input_tokens": True, "output_tokens": 9}), Answer("42", extras=extras())),
        (message("42", usage=[1]), Answer("42", extras=extras())),
        (message({"type": "server_tool_use", "id": "s", "input": {}}, "42", {"type": "redacted_thinking", "data": "x"},
                 container={"id": "c"}),
         Answer("42", extras=extras(
             message={"container": {"id": "c"}},
             content=[{"type": "server_tool_use", "id": "s", "input": {}}, {"type": "redacted_thinking", "data": "x"}],
         ))),
    ],
)  # fmt: skip
def test_answers_are_parsed_in_every_known_form(body: object, answer: Answer) -> None:
    """Text, thinking, calls, stop reason, usage including cached tokens, and unknown fields."""
    found = read(body)
    assert found == answer
    assert found.raw == body


def error(kind: str = "api_error", text: object = "x") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_1"}


HTML = b"<!doctype html><title>502 Bad Gateway</title>"


@pytest.mark.parametrize(
    ("status", "body", "kind", "again"),
    [
        (400, error("invalid_request_error"), "refused", False),
        (400, error("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"), "too_long", False),
        (400, error("invalid_request_error", "input length and `max_tokens` exceed context limit"), "too_long", False),
        (400, error("invalid_request_error", "Your credit balance is too low to access the API."), "credit", False),
        (401, error("authentication_error"), "credentials", False),
        (402, error("billing_error"), "credit", False),
        (403, error("permission_error"), "credentials", False),
        (404, error("not_found_error"), "model", False),
        (413, error("request_too_large"), "too_long", False),
        (429, error("rate_limit_error"), "rate_limited", True),
        (500, error("api_error"), "failed", False),
        (502, HTML, "failed", True),
        (503, b"", "busy", True),
        (504, error("timeout_error"), "timeout", True),
        (529, error("overloaded_error"), "busy", True),
        (307, b"", "unreachable", False),
        # a success that is none
        (200, error("overloaded_error"), "busy", True),
        (200, error("rate_limit_error"), "rate_limited", True),
        (200, error("authentication_error"), "credentials", False),
        (200, error("invalid_request_error", "prompt is too long"), "too_long", False),
        (200, error("never heard of"), "failed", False),
        (200, error(["odd"]), "failed", False),  # type: ignore[arg-type]  # that is the point
        (200, {"type": "error"}, "failed", False),
        (200, {"type": "error", "message": "out of memory"}, "failed", False),
        (200, {"error": "out of memory"}, "failed", False),
        (200, message("Forty-") | {"error": {"type": "api_error"}}, "failed", False),
        (200, b"", "unreadable", False),
        (200, HTML, "unreadable", False),
        (200, b'event: message_start\ndata: {"type": "message_start"}\n\n', "unreadable", False),
        (200, b'{"content":[{"type"', "unreadable", False),
        (200, b"null", "unreadable", False),
        (200, [], "unreadable", False),
        (200, {}, "unreadable", False),
        (200, {"choices": [{"message": {"content": "42"}}]}, "unreadable", False),
        (200, {"type": "message", "content": None}, "empty", False),
        (200, message(), "empty", False),
        (200, message(" \n"), "empty", False),
        (200, message({"type": "thinking", "thinking": "6 × 7"}), "empty", False),
        (200, message({"type": "redacted_thinking"}, None, ""), "empty", False),
        (200, message(stop_reason="refusal"), "filtered", False),
        (200, message({"type": "tool_use", "id": "a"}), "unreadable", False),
        (200, message("I look.", {"type": "tool_use", "name": "look", "id": None}), "unreadable", False),
    ],
)  # fmt: skip
def test_other_responses_raise_an_error_of_the_right_kind(status: int, body: object, kind: str, again: bool) -> None:
    """The kind decides on the text for the client, and on retries."""
    with pytest.raises(ProviderError) as found:
        read(body, status)
    assert (found.value.kind, found.value.retryable) == (kind, again)


def test_retry_headers_are_obeyed() -> None:
    """``Retry-After`` and ``x-should-retry``, which Anthropic sends."""
    with pytest.raises(ProviderError) as found:
        read(error("overloaded_error"), 529, **{"Retry-After": "7", "x-should-retry": "false"})
    assert (found.value.retryable, found.value.fallback_allowed, found.value.retry_after) == (False, True, 7.0)


NAMES = ["type", "content", "text", "thinking", "tool_use", "id", "name", "input", "error", "usage", "stop_reason"]
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(NAMES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=6,
)


@given(st.integers(100, 999), JSON | JSON.map(lambda inner: {"content": [inner]}))
def test_any_json_is_an_answer_or_an_error(status: int, body: object) -> None:
    """No other exception escapes."""
    try:
        answer = read(body, status)
    except ProviderError:
        return
    assert answer.text.strip() or answer.calls or answer.finish == "length"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("", "stop"),  # Anthropic-compatible gateways
        (None, "stop"),
        ("length", "length"),  # letta-ai/letta-code #3354
        ("max_output_tokens", "length"),
        ("model_context_window_exceeded", "length"),  # vybestack/llxprt-code #1731
        ("content_filter", "filter"),
        ("sensitive", "filter"),
        ("stop", "stop"),  # XSpoonAi/spoon-core #36
        ("tool_calls", "stop"),
        ("never heard of", "stop"),
    ],
)
def test_stop_reasons_of_other_providers_keep_their_meaning(reason: object, finish: str) -> None:
    """What was cut or filtered is never shown as whole."""
    assert read(message("The first half", stop_reason=reason)).finish == finish


@pytest.mark.parametrize("reason", ["", "null", None])
def test_a_reason_that_says_nothing_does_not_end_a_stream(reason: object) -> None:
    """A connection that is lost afterwards has lost a part of the answer."""
    decoder = AnthropicStreamDecoder()
    decoder.feed({"type": "message_delta", "delta": {"stop_reason": reason}})
    assert not decoder.is_complete


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, error("invalid_request_error", "Input is too long for requested model."), "too_long"),
        (400, {"error": {"code": "1261", "message": "Prompt 超长"}}, "too_long"),
        (400, error("invalid_request_error", "Output blocked by content filtering policy"), "filtered"),
        (500, {"message": "ThrottlingException: Too many tokens, please wait before trying again."}, "failed"),
        (200, {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, "credit"),
        (200, {"code": 500, "msg": "404 NOT_FOUND", "success": False}, "failed"),
        (200, {"detail": "Too many requests"}, "rate_limited"),
    ],
)
def test_errors_of_other_providers_are_recognized(status: int, body: Any, kind: str) -> None:
    """By their words and in their fields, also under HTTP 200."""
    with pytest.raises(ProviderError) as found:
        read(body, status)
    assert found.value.kind == kind


@pytest.mark.parametrize("empty", [{"type": "", "message": ""}, {}, None, ""])
def test_an_error_that_says_nothing_is_none(empty: object) -> None:
    """Gateways add it to every answer (BerriAI/litellm #18407)."""
    assert read(message("Forty-two.") | {"error": empty}).text == "Forty-two."

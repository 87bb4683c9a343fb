"""Tests of responses of the Chat Completions API: answers, errors, and tool calls in the forms of various providers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.backends.openai.backend import OPENAI_ADAPTER
from persona_stream.backends.providers.errors import ProviderError
from persona_stream.backends.providers.responses import parse_response
from persona_stream.backends.providers.transport import Response
from persona_stream.core.content import ProviderFields, ToolCall
from persona_stream.core.query import Answer, Usage
from tests.backends.fake_provider import completion

CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}}
CALLED = ToolCall("call_1", "look", '{"at": "sky"}')
COUNTS = {"prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16}


def read(reply: Response) -> Answer:
    return parse_response(reply, OPENAI_ADAPTER)


def reply(body: object, status: int = 200, **headers: str) -> Response:
    return Response(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (completion(), Answer("Forty-two.")),
        (completion(usage=COUNTS), Answer("Forty-two.", usage=Usage(input_tokens=7, output_tokens=9))),
        (completion(usage=None), Answer("Forty-two.")),
        (completion(usage={"prompt_tokens": 7}), Answer("Forty-two.")),
        *(
            (completion(**more), Answer("Forty-two.", usage=Usage(input_tokens=7, output_tokens=9)))
            for more in (
                {"usage": {"prompt_tokens": "7", "completion_tokens": "9"}},
                {"usage": {"prompt_tokens": 7.0, "completion_tokens": 9.0}},
                {"usage": {"input_tokens": 7, "output_tokens": 9}},
            )
        ),
        (completion(usage={"prompt_tokens": 10**30, "completion_tokens": 9}), Answer("Forty-two.")),
        (completion(usage={"prompt_tokens": 7.5, "completion_tokens": float("nan")}), Answer("Forty-two.")),
        (completion(usage={"prompt_tokens": -7, "completion_tokens": 9}), Answer("Forty-two.")),
        (completion(usage=[1]), Answer("Forty-two.")),
        (completion(error=None), Answer("Forty-two.")),
        (completion(message={"reasoning_content": "6 × 7"}), Answer("Forty-two.", "6 × 7")),
        (completion(message={"reasoning": "6 × 7"}), Answer("Forty-two.", "6 × 7")),
        (completion(message={"reasoning_content": "", "reasoning": "6 × 7"}), Answer("Forty-two.", "6 × 7")),
        (completion(message={"reasoning_content": None, "reasoning": {"effort": 1}}), Answer("Forty-two.")),
        (completion(finish_reason="length"), Answer("Forty-two.", finish="length")),
        (completion(finish_reason="model_length"), Answer("Forty-two.", finish="length")),
        (completion(finish_reason="content_filter"), Answer("Forty-two.", finish="filter")),
        (completion(finish_reason="tool_calls"), Answer("Forty-two.")),
        (completion(finish_reason="never heard of"), Answer("Forty-two.")),
        (completion("", finish_reason="length"), Answer("", finish="length")),
        (completion(None, finish_reason="length"), Answer("", finish="length")),
        (
            completion("", message={"reasoning_content": "6 × 7"}, finish_reason="length"),
            Answer("", "6 × 7", finish="length"),
        ),
        (
            completion(None, message={"tool_calls": [CALL]}, finish_reason="tool_calls"),
            Answer("", finish="tools", calls=(CALLED,)),
        ),
        (
            completion("I look.", message={"tool_calls": [CALL, None, 7]}),
            Answer("I look.", finish="tools", calls=(CALLED,)),
        ),
        (
            completion(None, message={"tool_calls": [CALL]}, finish_reason="length"),
            Answer("", finish="length", calls=(CALLED,)),
        ),
        (completion(message={"tool_calls": None}), Answer("Forty-two.")),
        (completion(message={"tool_calls": []}, finish_reason="tool_calls"), Answer("Forty-two.")),
        (completion(finish_reason=None), Answer("Forty-two.")),
        (completion(finish_reason={"odd": 1}), Answer("Forty-two.")),
        (completion(None, message={"refusal": "I would rather not."}), Answer("I would rather not.", finish="refusal")),
        (completion("Yes.", message={"refusal": None}), Answer("Yes.")),
        (completion([{"type": "text", "text": "Forty"}, {"type": "text", "text": "-two."}]), Answer("Forty-two.")),
        (completion(["Forty", "-two."]), Answer("Forty-two.")),
        (completion([{"type": "refusal", "refusal": "No."}]), Answer("No.", finish="refusal")),
        (
            completion(
                [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "6 "}, {"type": "text", "text": "× 7"}]},
                    {"type": "thinking", "thinking": "!"},
                    {"type": "image_url", "image_url": {"url": "x"}},
                    {"text": 7},
                    None,
                    [],
                    {"type": "text", "text": "Forty-two."},
                ]
            ),
            Answer("Forty-two.", "6 × 7!"),
        ),
        (completion("你好 👩‍👩‍👧"), Answer("你好 👩‍👩‍👧")),
        (completion("half \ud83d"), Answer("half \ud83d")),
        (completion("  kept \n"), Answer("  kept \n")),
        ({"choices": [{"message": {"content": "bare"}}]}, Answer("bare")),
        ({"choices": [{"message": {"content": "one"}}, {"message": {"content": "two"}}]}, Answer("one")),
        (b"\xef\xbb\xbf" + json.dumps(completion()).encode(), Answer("Forty-two.")),
        (json.dumps(completion(created=float("nan"))).encode(), Answer("Forty-two.")),
    ],
)
def test_answers_are_parsed_in_every_known_form(body: object, answer: Answer) -> None:
    """The text is kept exactly; reasoning and usage are taken where they are valid."""
    found = read(reply(body))
    assert found == answer
    assert isinstance(found.raw, dict)
    assert "choices" in found.raw


@pytest.mark.parametrize("status", [201, 202, 299])
def test_any_2xx_status_is_a_success(status: int) -> None:
    """Some gateways answer 201."""
    assert read(reply(completion(), status)) == Answer("Forty-two.")


HTML = b"<!doctype html><title>502 Bad Gateway</title>"
DEEP = b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def error(message: object = "x", **more: object) -> dict[str, object]:
    return {"error": {"message": message} | more}


@pytest.mark.parametrize(
    ("status", "body", "kind", "again"),
    [
        # what HTTP says
        (301, b"", "unreachable", False),
        (307, HTML, "unreachable", False),
        (400, error(), "refused", False),
        (401, error(), "credentials", False),
        (402, error(), "credit", False),
        (403, HTML, "unreachable", False),  # NousResearch/hermes-agent #70566: the page of a firewall
        (404, error(), "model", False),
        (404, {"error": "model 'x' not found"}, "model", False),
        (404, {"object": "error", "message": "The model `x` does not exist.", "code": 404}, "model", False),
        (404, {"detail": "Not Found"}, "model", False),
        (405, b"", "refused", False),
        (408, b"", "timeout", False),
        (409, b"", "refused", False),
        (413, b"", "too_long", False),
        (418, b"", "refused", False),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, "refused", False),
        (429, error(), "rate_limited", True),
        (500, error(), "failed", False),
        (500, HTML, "failed", False),
        (501, b"", "failed", False),
        (502, HTML, "failed", True),
        (503, HTML, "busy", True),
        (504, HTML, "timeout", True),
        (520, HTML, "failed", False),
        (529, error(type="overloaded_error"), "busy", False),
        (599, b"", "failed", False),
        (999, b"", "failed", False),
        # what the error object adds
        (400, error(code="context_length_exceeded"), "too_long", False),
        (400, error("This model's maximum context length is 4096 tokens."), "too_long", False),
        (400, error("litellm.ContextWindowExceededError: ..."), "too_long", False),
        (500, error("context length"), "failed", False),
        (400, error(code="content_filter"), "filtered", False),
        (400, error(code="invalid_api_key"), "credentials", False),
        (400, error(code="model_not_found"), "model", False),
        (400, error(code=None), "refused", False),
        (400, error(["not", "text"], code=["nor", "this"]), "refused", False),
        (400, {"error": ["x"]}, "refused", False),
        (429, error(code="insufficient_quota"), "credit", False),
        (429, error(code="rate_limit_exceeded"), "rate_limited", True),
        (503, completion(), "busy", True),
        # a success that is none
        (200, error(), "failed", False),
        (200, {"error": "out of memory"}, "failed", False),
        (200, error(code=429), "rate_limited", True),
        (200, error(code="429"), "rate_limited", True),
        (200, error(code=401), "credentials", False),
        (200, error(code=502), "failed", True),
        (200, error(code=200), "failed", False),
        (200, error(code="server_error"), "failed", False),
        (200, error(code=True), "failed", False),
        (200, completion() | error(code=503), "busy", True),
        (200, {"choices": [{"error": {"code": 502}, "message": {"content": "Forty-"}}]}, "failed", True),
        (200, b"", "unreadable", False),
        (204, b"", "unreadable", False),
        (200, HTML, "unreadable", False),
        (200, b'data: {"choices":[]}\n\n', "unreadable", False),
        (200, b'{"choices":[{"message"', "unreadable", False),
        (200, b"\xff\xfe\x00", "unreadable", False),
        (200, DEEP, "unreadable", False),
        (200, b'{"choices":' + b"9" * 5000 + b"}", "unreadable", False),
        (200, b"null", "unreadable", False),
        (200, b'"Forty-two."', "unreadable", False),
        (200, b"[]", "unreadable", False),
        (200, {}, "unreadable", False),
        (200, {"object": "list", "data": []}, "unreadable", False),
        (200, {"choices": []}, "empty", False),
        (200, {"choices": None}, "empty", False),
        (200, {"choices": {}}, "empty", False),
        (200, {"choices": ["text"]}, "empty", False),
        (200, {"choices": [None]}, "empty", False),
        (200, {"choices": [{}]}, "empty", False),
        (200, {"choices": [{"message": None}]}, "empty", False),
        (200, {"choices": [{"message": "text"}]}, "empty", False),
        (200, {"choices": [{"message": {}}]}, "empty", False),
        (200, completion(None), "empty", False),
        (200, completion(None, finish_reason="tool_calls"), "empty", False),
        (200, completion(message={"tool_calls": [{"id": "1"}]}), "unreadable", False),
        (200, completion("Forty-", finish_reason="error"), "failed", False),
        (200, completion("Forty-", finish_reason="insufficient_system_resource"), "busy", False),
        (200, {"object": "error", "message": "x", "code": 429}, "rate_limited", True),
        (200, error(code="rate_limit_exceeded"), "rate_limited", True),
        (200, completion(""), "empty", False),
        (200, completion(" \n"), "empty", False),
        (200, completion([]), "empty", False),
        (200, completion({"text": "x"}), "empty", False),
        (200, completion(42), "empty", False),
        (200, completion(None, finish_reason="content_filter"), "filtered", False),
    ],
)
def test_other_responses_raise_an_error_of_the_right_kind(status: int, body: object, kind: str, again: bool) -> None:
    """The kind decides on the text for the client, and on retries."""
    with pytest.raises(ProviderError) as found:
        read(reply(body, status))
    assert (found.value.kind, found.value.retryable) == (kind, again)


def test_unknown_fields_are_kept_by_location() -> None:
    """Of the message, the body and the usage; null values are dropped."""
    body = completion(
        message={"annotations": [], "audio": None, "function_call": None, "x": 1, "reasoning": "6 × 7"},
        usage=COUNTS | {"prompt_tokens_details": {"cached_tokens": 3}, "cost": None},
        service_tier="default",
        system_fingerprint=None,
    )
    assert read(reply(body)) == Answer(
        "Forty-two.",
        "6 × 7",
        Usage(input_tokens=7, output_tokens=9),
        extras=ProviderFields(
            "openai",
            {
                "message": {"annotations": [], "x": 1},
                "completion": {"service_tier": "default"},
                "usage": {"prompt_tokens_details": {"cached_tokens": 3}},
            },
        ),
    )


@pytest.mark.parametrize(
    ("status", "body", "elsewhere"),
    [
        (429, error(), True),
        (429, error(code="insufficient_quota"), True),
        (500, HTML, True),
        (503, b"", True),
        (504, b"", True),
        (529, b"", True),
        (200, error(), True),
        (200, error(code=429), True),
        (200, error(code=400), False),
        (200, HTML, False),
        (200, completion(""), False),
        (307, b"", False),
        (400, error(), False),
        (401, error(), False),
        (404, error(), False),
    ],
)
def test_a_fallback_is_allowed_when_the_provider_is_busy_or_fails(status: int, body: object, elsewhere: bool) -> None:
    """Not for errors of the request, the key or the model, nor for an empty answer."""
    with pytest.raises(ProviderError) as found:
        read(reply(body, status))
    assert found.value.fallback_allowed is elsewhere


def test_the_body_is_quoted_in_the_log_on_one_short_line() -> None:
    """It cannot forge log lines or move a terminal's cursor."""
    body = "\x1b[2J\nERROR forged\r\u2028你好 ".encode() + b"x" * 10_000
    with pytest.raises(ProviderError) as found:
        read(reply(body, 500))
    assert found.value.detail.startswith(r"status 500: '\x1b[2J\nERROR forged\r\u2028你好 xxx")
    assert found.value.detail.isprintable()
    assert len(found.value.detail) < 600


def test_the_target_of_a_redirect_is_logged() -> None:
    """The operator can then configure it."""
    with pytest.raises(ProviderError) as found:
        read(reply(b"", 308, Location="https://new.example/v1\n"))
    assert found.value.detail == r"status 308 to 'https://new.example/v1\n': ''"


@pytest.mark.parametrize(
    ("headers", "again", "seconds"),
    [
        ({}, True, None),
        ({"Retry-After": "7"}, True, 7.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:09 GMT"}, True, 0.0),
        ({"x-should-retry": "false", "Retry-After": "7"}, False, 7.0),
        ({"x-should-retry": "true"}, True, None),
    ],
)
def test_retry_headers_are_obeyed(headers: dict[str, str], again: bool, seconds: float | None) -> None:
    """``Retry-After`` and ``x-should-retry``."""
    with pytest.raises(ProviderError) as found:
        read(reply(b"", 503, **headers))
    assert (found.value.retryable, found.value.retry_after) == (again, seconds)


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "content", "error", "code", "usage", "text", "thinking"]), inner
        )
    ),
    max_leaves=6,
)


@given(st.integers(100, 999), JSON | st.just(None).flatmap(lambda _: JSON.map(lambda inner: {"choices": [inner]})))
def test_any_json_is_an_answer_or_an_error(status: int, body: object) -> None:
    """No other exception escapes."""
    try:
        answer = read(reply(body, status))
    except ProviderError:
        return
    assert answer.text.strip() or answer.calls or answer.finish == "length"


@given(st.binary())
def test_any_bytes_are_an_error(body: bytes) -> None:
    """No other exception escapes."""
    with pytest.raises(ProviderError):
        read(reply(body))

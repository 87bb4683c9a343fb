"""Tests of the habits of OpenAI-compatible providers that users of comparable products have reported.

Each case names its public source: a repository with the number of an issue or a pull request.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from persona_stream.backends.openai.backend import OPENAI_ADAPTER
from persona_stream.backends.openai.response import parse_error
from persona_stream.backends.openai.stream import OpenAIStreamDecoder
from persona_stream.backends.providers.errors import ProviderError
from persona_stream.backends.providers.responses import parse_response
from persona_stream.backends.providers.transport import Response
from persona_stream.core.query import Answer
from tests.backends.fake_provider import chunk, completion


def part(index: object = None, id_: object = None, name: object = None, arguments: object = None) -> dict[str, Any]:
    return {"index": index, "id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def read(body: object, status: int = 200) -> Answer:
    return parse_response(Response(status, {}, json.dumps(body).encode()), OPENAI_ADAPTER)


def kind_of(body: object, status: int = 200) -> str:
    with pytest.raises(ProviderError) as found:
        read(body, status)
    return found.value.kind


CALL = {"id": "a", "type": "function", "function": {"name": "w", "arguments": "{}"}}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            {
                "choices": [
                    {"message": {"role": "assistant", "content": "I look."}, "finish_reason": "tool_calls"},
                    {
                        "message": {"role": "assistant", "content": None, "tool_calls": [CALL]},
                        "finish_reason": "tool_calls",
                    },
                ]
            },
            id="HKUDS/nanobot #1481: the calls in the second choice",
        ),
        pytest.param(
            completion("I look.", message={"function_call": {"name": "w", "arguments": "{}"}}),
            id="a function_call, as before there were tools",
        ),
        pytest.param(
            completion(
                [{"type": "text", "text": "I look."}, {"type": "tool_use", "id": "a", "name": "w", "input": {}}]
            ),
            id="a block of the content, as Anthropic has it",
        ),
    ],
)
def test_tool_calls_are_found_in_every_place(body: dict[str, Any]) -> None:
    """Never silently fewer."""
    found = read(body)
    assert (found.text, found.finish) == ("I look.", "tools")
    assert [(call.name, call.arguments) for call in found.calls] == [("w", "{}")]


def test_streamed_tool_calls_are_found_in_every_place() -> None:
    """In another choice (HKUDS/nanobot #1481), and as a function_call in parts."""
    second = {"index": 1, "delta": {"tool_calls": [part(0, "a", "w", "{}")]}, "finish_reason": "tool_calls"}
    for events in (
        [chunk("I look."), {"choices": [second]}, chunk(finish_reason="tool_calls")],
        [
            chunk("I look."),
            chunk(delta={"function_call": {"name": "w", "arguments": ""}}),
            chunk(delta={"function_call": {"arguments": "{}"}}, finish_reason="function_call"),
        ],
    ):
        decoder = OpenAIStreamDecoder()
        texts = [delta.text for event in events for delta in decoder.feed(event) if delta.kind == "text"]
        found = decoder.result()
        assert texts == ["I look."]
        assert ([call.name for call in found.calls], found.finish) == (["w"], "tools")


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("MAX_TOKENS", "length"),  # BerriAI/litellm #10768
        ("FINISH_REASON_MAX_TOKENS", "length"),  # bespokelabsai/curator #621
        ("max_output_tokens", "length"),
        ("model_context_window_exceeded", "length"),  # vybestack/llxprt-code #1731
        ("SAFETY", "filter"),
        ("RECITATION", "filter"),  # gbaptista/gemini-ai #21
        ("BLOCKLIST", "filter"),  # epam/ai-dial-adapter-vertexai #85
        ("SPII", "filter"),
        ("IMAGE_SAFETY", "filter"),  # genkit-ai/genkit #5736
        ("OTHER", "filter"),  # epam/ai-dial-adapter-vertexai #85
        ("content_filter: PROHIBITED_CONTENT", "filter"),
        ("sensitive", "filter"),
        ("token budget reached", "length"),
        ("blocked-by-guardrails", "filter"),
        ("STOP", "stop"),
        ("end_turn", "stop"),  # aws-samples/bedrock-access-gateway #11
        ("eos", "stop"),
        ("null", "stop"),
        ("", "stop"),  # ollama/ollama #4357
        ("never heard of", "stop"),
    ],
)
def test_every_reported_finish_reason_keeps_its_meaning(reason: str, finish: str) -> None:
    """What was cut or filtered is never shown as whole."""
    assert read(completion("The first half", finish_reason=reason)).finish == finish


@pytest.mark.parametrize("reason", ["null", "", "None", "FINISH_REASON_UNSPECIFIED"])
def test_a_reason_that_says_nothing_does_not_end_a_stream(reason: str) -> None:
    """A connection that is lost afterwards has lost a part of the answer (BerriAI/litellm #20357)."""
    decoder = OpenAIStreamDecoder()
    decoder.feed(chunk("The first half", finish_reason=reason))
    assert not decoder.is_complete


@pytest.mark.parametrize(
    "error",
    [
        {"message": "", "type": "", "param": "", "code": None},  # BerriAI/litellm #18407
        {},
        {"message": None, "code": 0},
        {"message": "success", "code": 200},
        {"message": "", "type": "new_api_error", "code": ""},
        "",
        "null",
        False,
        [],
    ],
)
def test_an_error_that_says_nothing_is_none(error: object) -> None:
    """Gateways add it to every answer."""
    assert read(completion() | {"error": error}) == Answer("Forty-two.")
    assert parse_error(chunk("Forty") | {"error": error}) is None


TOO_LONG = [
    # hwchase17/chat-your-data #10
    "This model's maximum context length is 4096 tokens. However, you requested 4231 tokens.",
    # oai-compatible-copilot #13
    "The input token count (582632) exceeds the maximum number of tokens allowed (131072).",
    # earendil-works/pi #5677
    "Input length (265330) exceeds model's maximum context length (262144).",
    # dyad-sh/dyad #1672
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    # AIStudioToAPI #268
    "[original: beyond::dependency::INVALID_ARGUMENT] Cannot truncate to 89998, required 355220",
    # ggml-org/llama.cpp #14566
    "the request exceeds the available context size. try increasing the context size",
    "prompt is too long: 213462 tokens > 200000 maximum",
    "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    "Please reduce the length of the messages or completion. Current length is 9015 while limit is 8192",
    "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
    "prompt token count of 80000 exceeds the limit of 64000",
    "invalid params, context window exceeds limit",
    "Invalid request: Your request exceeded model token limit: 8192 (requested: 9000)",
    "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "The number of tokens to keep from the initial prompt is greater than the context length",
    "prompt too long; exceeded max context length by 12 tokens",
    "`inputs` tokens + `max_new_tokens` must be <= 4096",
    "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 509178 tokens.",
    "Input is too long for requested model.",
    "The total length of all messages is too long.",
    "too many tokens: total number of tokens in the prompt cannot exceed 4081",
    "Range of input length should be [1, 30720]",
    "Prompt 超长",
    "输入长度超过模型上下文限制",
]


@pytest.mark.parametrize("words", TOO_LONG)
def test_a_prompt_that_is_too_long_is_recognized_in_every_providers_words(words: str) -> None:
    """As an error of the request, of a gateway, of a stream, and inside another error (cline/cline #13194)."""
    raw = json.dumps({"error": {"message": words, "code": 400}})
    assert kind_of({"error": {"message": words}}, 400) == "too_long"
    assert kind_of({"error": {"message": words, "type": "upstream_error"}}, 500) == "too_long"
    assert kind_of({"error": {"code": 400, "message": words, "type": "invalid_request_error"}}) == "too_long"
    assert kind_of([{"error": {"code": 400, "message": words, "status": "INVALID_ARGUMENT"}}], 400) == "too_long"
    assert (
        kind_of({"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw}}}) == "too_long"
    )


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": {"message": "Invalid 'user': string too long. Expected a string with maximum length 64",
                         "param": "user", "code": "string_above_max_length"}}, "refused"),
        (400, {"error": {"message": "string too long", "param": "messages[0].content",
                         "code": "string_above_max_length"}}, "too_long"),
        (400, {"error": {"message": "API key not valid. Please pass a valid API key.", "code": 400,
                         "status": "INVALID_ARGUMENT"}}, "credentials"),
        (400, {"error": {"message": "Model Not Exist", "type": "invalid_request_error"}}, "model"),
        (403, {"error": {"message": "Input was flagged", "code": 403, "metadata": {"reasons": ["hate"]}}}, "filtered"),
        (413, {"error": {"message": "Request too large for model `x` on tokens per minute (TPM): Limit 6000",
                         "type": "tokens", "code": "rate_limit_exceeded"}}, "rate_limited"),
        (429, {"error": {"message": "Insufficient balance", "type": "exceeded_current_quota_error"}}, "credit"),
        (429, {"error": {"code": 429, "message": "You exceeded your current quota. Please retry in 34.07s.",
                         "status": "RESOURCE_EXHAUSTED"}}, "rate_limited"),
        (400, {"error": {"code": "1301", "message": "系统检测到输入或生成内容可能包含不安全或敏感内容"}}, "filtered"),
        (400, {"error": {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content."}},
         "filtered"),
        (400, {"error": {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
         "filtered"),
        # errors under HTTP 200
        (200, {"base_resp": {"status_code": 1004, "status_msg": "login fail"}, "choices": None}, "credentials"),
        (200, {"base_resp": {"status_code": 2013, "status_msg": "invalid params, context window exceeds limit"}},
         "too_long"),
        (200, {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, "rate_limited"),
        (200, {"code": "rate_limit_daily", "message": "Error code: 429 - rate limit"}, "rate_limited"),  # xaibo #36
        (200, {"code": 1261, "msg": "Prompt 超长", "success": False}, "too_long"),
        (200, {"code": "InvalidApiKey", "message": "Invalid API-key provided.", "request_id": "x"}, "credentials"),
        (200, {"error_code": 336103, "error_msg": "the max input characters is 4800: prompt tokens too long"},
         "too_long"),
        (200, {"success": False, "errors": [{"code": 7009, "message": "Upstream service unavailable, over capacity"}]},
         "busy"),
        (200, {"detail": "Unauthorized"}, "credentials"),
        (200, {"object": "error", "message": "This model's maximum context length is 4096 tokens", "code": 40303},
         "too_long"),
        (200, {"error": True, "message": "overloaded"}, "busy"),
        (200, {"error": "model 'x' not found"}, "model"),
    ],
)  # fmt: skip
def test_errors_are_recognized_by_code_and_by_words(status: int, body: object, kind: str) -> None:
    """Wherever a provider or a gateway puts them."""
    assert kind_of(body, status) == kind


@pytest.mark.parametrize("code", [0, None])
def test_a_base_resp_of_success_is_no_error(code: object) -> None:
    """MiniMax sends it with every answer."""
    body = completion(base_resp={"status_code": code, "status_msg": ""})
    assert read(body).text == "Forty-two."


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        ({"details": [{"@type": "RetryInfo", "retryDelay": "34s"}]}, 34.0),
        ({"message": "Rate limit reached. Please try again in 20s."}, 20.0),
        ({"message": "Please try again in 1m12.5s."}, 72.5),
        ({"message": "Please retry after 500ms"}, 0.5),
        ({"retry_after": 7}, 7.0),
        ({"message": "Slow down."}, None),
    ],
)
def test_the_delay_that_a_provider_requires_is_found_in_its_error(error: dict[str, Any], seconds: float | None) -> None:
    """Where it sends no ``Retry-After``."""
    with pytest.raises(ProviderError) as found:
        read({"error": {"code": 429, **error}}, 429)
    assert found.value.retry_after == seconds


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "Hm."},
        {"reasoning": "Hm."},
        {"thinking": "Hm."},
        {"reasoning_text": "Hm."},
        {"thinking": {"content": "Hm."}},
        {"reasoning": {"text": "Hm."}},
        {"reasoning_details": [{"type": "reasoning.text", "text": "Hm.", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "Hm."}]},
        {"reasoning": "Hm.", "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]},
        {"content": [{"type": "reasoning", "text": "Hm."}]},
    ],
)
def test_reasoning_streams_under_each_of_its_names(delta: dict[str, Any]) -> None:
    """At once and only once, and it is no part of the text."""
    decoder = OpenAIStreamDecoder()
    deltas = [(each.kind, each.text) for each in decoder.feed(chunk(delta=delta)) if each.kind != "rest"]
    assert deltas == [("reasoning", "Hm.")]
    assert read(completion("Yes.", message={"reasoning_content": None} | delta | {"content": "Yes."})).text == "Yes."


def test_reasoning_details_are_joined_by_block() -> None:
    """As the provider requires them back."""
    decoder = OpenAIStreamDecoder()
    details = [
        {"type": "reasoning.text", "text": "H", "index": 0, "format": "x"},
        {"type": "reasoning.text", "text": "m.", "index": 0, "signature": None},
        {"type": "reasoning.text", "text": "", "index": 0, "signature": "s"},
        {"type": "reasoning.encrypted", "data": "abc", "index": 1},
    ]
    for detail in details:
        decoder.feed(chunk(delta={"reasoning_details": [detail]}))
    decoder.feed(chunk("Yes.", finish_reason="stop"))
    extras = decoder.result().extras
    assert extras is not None
    assert extras.fields["message"]["reasoning_details"] == [
        {"type": "reasoning.text", "text": "Hm.", "index": 0, "format": "x", "signature": "s"},
        {"type": "reasoning.encrypted", "data": "abc", "index": 1},
    ]

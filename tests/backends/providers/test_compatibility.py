"""Tests of requests without the field that a provider rejects, with the errors of public reports."""

from __future__ import annotations

from typing import Any

import pytest

from persona_stream.backends.providers.compatibility import find_named_field, remove, repair
from persona_stream.backends.providers.errors import ProviderErrorObject, parse_error_object

MESSAGES = [{"role": "user", "content": "Hi"}]
TOO_NEW = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
CALL = {"id": "1", "type": "function", "function": {"name": "w", "arguments": "{}"}, "extra_content": {"google": 1}}
REASONED = [{"role": "assistant", "content": "", "reasoning_content": "Hm.", "tool_calls": [CALL]}]


def rejection(message: str, **fields: Any) -> ProviderErrorObject:
    found = parse_error_object({"message": message, **fields})
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("error", "body", "repaired"),
    [
        # carlrobertoh/ProxyAI #927, fuergaosi233/claude-code-proxy #35
        (rejection(TOO_NEW, param="max_tokens", code="unsupported_parameter"), {"max_tokens": 9},
         {"max_completion_tokens": 9}),
        # caozhiyuan/copilot-api #164: no param
        (rejection(TOO_NEW, code="invalid_request_body"), {"max_tokens": 9}, {"max_completion_tokens": 9}),
        (rejection(TOO_NEW), {"max_tokens": 9, "max_completion_tokens": 5}, {"max_completion_tokens": 5}),
        (rejection("max_completion_tokens: Extra inputs are not permitted"), {"max_completion_tokens": 9},
         {"max_tokens": 9}),
        # SilasMarvin/lsp-ai #109, BerriAI/litellm #15097
        (rejection("`temperature` and `top_p` cannot both be specified for this model. Please use only one."),
         {"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5}),
        # szczyglis-dev/py-gpt #184
        (rejection("`temperature` is deprecated for this model"), {"temperature": 1}, {}),
        (rejection("Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value "
                   "is supported.", param="temperature", code="unsupported_value"), {"temperature": 0.5}, {}),
        (rejection("Unrecognized request argument supplied: top_k"), {"top_k": 5, "seed": 1}, {"seed": 1}),
        (rejection('Invalid JSON payload received. Unknown name "store": Cannot find field.'), {"store": True}, {}),
        (rejection("Argument not supported on this model: presencePenalty"), {"presence_penalty": 1}, {}),
        (rejection("stream_options.include_usage is not supported"), {"stream_options": {"include_usage": True}}, {}),
        (rejection("service_tier: Extra inputs are not permitted"), {"service_tier": "auto"}, {}),
        (rejection("Tool choice is not supported: tool_choice"), {"tool_choice": "auto"}, {}),
        # limits
        (rejection("max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens"),
         {"max_tokens": 100_000}, {"max_tokens": 8192}),
        (rejection("max_tokens is too large: 40000. This model supports at most 16384 completion tokens"),
         {"max_tokens": 40_000}, {"max_tokens": 16_384}),
        (rejection("`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` is less than "
                   "the `context_window`"), {"max_tokens": 9000}, {"max_tokens": 8192}),
        (rejection("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"),
         {"max_tokens": 9000}, {"max_tokens": 8192}),
        (rejection("input length and `max_tokens` exceed context limit: 199211 + 20000 > 200000"),
         {"max_tokens": 20_000}, {"max_tokens": 789}),
        (rejection("'max_tokens' is too large: 5000. This model's maximum context length is 4096 tokens and your "
                   "request has 20 input tokens (5000 > 4096 - 20)"), {"max_tokens": 5000}, {"max_tokens": 4076}),
        (rejection("temperature: Input should be less than or equal to 1"), {"temperature": 1.3}, {"temperature": 1}),
        (rejection("Range of temperature should be [0, 0.99]"), {"temperature": 1.3}, {"temperature": 0.99}),
    ],
)  # fmt: skip
def test_the_next_request_is_without_the_rejected_field(
    error: ProviderErrorObject, body: dict[str, Any], repaired: dict[str, Any]
) -> None:
    """Its other name is used, or the greatest value that the provider accepts, where it tells them."""
    base = {"model": "m", "messages": MESSAGES}
    found = repair(base | body, error)
    assert found is not None
    assert found.body == base | repaired


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ("property 'messages.1.reasoning_content' is unsupported", "reasoning_content"),
        ("messages.1.assistant.reasoning_content: property unsupported", "reasoning_content"),
        ("messages[1].tool_calls[0].extra_content: Extra inputs are not permitted", "extra_content"),
    ],
)
def test_a_rejected_field_of_messages_is_removed_from_all_of_them(words: str, field: str) -> None:
    """Also from their tool calls."""
    found = repair({"model": "m", "messages": [*MESSAGES, *REASONED]}, rejection(words))
    assert found is not None
    assert field not in str(found.body)
    assert str(found.body).count("'role'") == 2


@pytest.mark.parametrize(
    ("words", "body"),
    [
        ("'tools' is not supported with this model", {"tools": [{}]}),
        ("response_format is not supported", {"response_format": {"type": "json_object"}}),
        ("tool_choice 'required' is not supported", {"tool_choice": "required"}),
        ("n is not supported", {"n": 2}),
        ("messages: unknown role", {}),
        ("model is not supported", {}),
        ("The server had an error", {"temperature": 1}),
        ("temperature must be a number", {"temperature": 1}),
        ("This model's maximum context length is 4096 tokens. However, you requested 5000 tokens", {"max_tokens": 9}),
        ("prompt is too long: 213462 tokens > 200000 maximum", {"max_tokens": 32_000}),
        ("", {"temperature": 1}),
    ],
)
def test_what_the_client_asked_for_is_never_left_out(words: str, body: dict[str, Any]) -> None:
    """Nor is a field that the error does not name."""
    assert repair({"model": "m", "messages": MESSAGES, **body}, ProviderErrorObject(words=words)) is None


def test_thinking_that_another_model_signed_is_removed() -> None:
    """After a fallback, or a change of the model."""
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "x"}
    body = {"messages": [{"role": "assistant", "content": [thinking, {"type": "text", "text": "Hi"}]}]}
    found = repair(body, rejection("messages.1.content.0: Invalid `signature` in `thinking` block"))
    assert found is not None
    assert found.body == {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "Hi"}]}]}


def test_encrypted_reasoning_that_another_model_made_is_removed() -> None:
    """OpenAI quotes it: the words are those of its error."""
    item = {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
    words = "The encrypted content gAAA could not be verified. Reason: Encrypted content could not be decrypted."
    found = repair({"model": "m", "input": [*MESSAGES, item]}, rejection(words))
    assert found is not None
    assert found.body == {"model": "m", "input": MESSAGES}
    refused = repair(
        {"model": "m", "input": MESSAGES, "include": ["reasoning.encrypted_content"]},
        ProviderErrorObject(words="Encrypted content is not supported with this model.", parameter="include"),
    )
    assert refused is not None
    assert refused.body == {"model": "m", "input": MESSAGES}


RESPONSES_BODY = {"model": "m", "input": MESSAGES, "instructions": "Be brief.", "store": False, "service_tier": "flex"}


@pytest.mark.parametrize(
    "message", ["Unknown parameter: 'input[0].content'.", "Invalid `signature` in `thinking` block"]
)
def test_a_request_of_the_responses_api_gets_no_messages(message: str) -> None:
    """A field of its items cannot be left out."""
    assert repair(RESPONSES_BODY, rejection(message)) is None


def test_a_field_of_a_request_of_the_responses_api_is_left_out() -> None:
    """The words "input" and "text" name no field for the client."""
    found = repair(RESPONSES_BODY, rejection("Unsupported parameter: 'service_tier'"))
    assert found is not None
    assert found.body == {name: value for name, value in RESPONSES_BODY.items() if name != "service_tier"}
    assert find_named_field({**RESPONSES_BODY, "text": {}}, rejection("The text of the input is invalid")) is None


def test_a_required_field_stays() -> None:
    """Without it every request would be rejected."""
    words = rejection("max_tokens is not supported")
    assert repair({"max_tokens": 9, "messages": []}, words, frozenset({"max_tokens"})) is None


def test_only_a_field_that_is_never_supported_is_left_out_for_good() -> None:
    """The next request may have another value."""
    body = {"temperature": 0.5, "max_tokens": 5, "messages": []}
    lasting = repair(body, rejection(TOO_NEW))
    once = repair(body, rejection("Unsupported value: 'temperature' does not support 0.5"))
    assert lasting is not None
    assert once is not None
    assert (lasting.is_lasting, once.is_lasting) == (True, False)
    assert remove(body, "max_tokens") == {"temperature": 0.5, "max_completion_tokens": 5, "messages": []}


@pytest.mark.parametrize(
    ("error", "field"),
    [
        (rejection("x", param="response_format"), "response_format"),
        (rejection("Invalid schema for 'response_format'"), "response_format"),
        (rejection("x", param="<script>"), None),
        (rejection("the model is not happy"), None),
    ],
)
def test_the_client_learns_which_field_is_rejected(error: ProviderErrorObject, field: str | None) -> None:
    """A name of its request, never the provider's words."""
    assert find_named_field({"model": "m", "messages": [], "response_format": {}}, error) == field


LONG_ID = "user_" + "a" * 64 + "_account__session_" + "b" * 36


@pytest.mark.parametrize(
    ("error", "body"),
    [
        # looplj/axonhub #1131, a provider of Anthropic's API
        (rejection("user_id:The unique ID of the user must be between 6 and 128 characters in length.", code="1214"),
         {"metadata": {"user_id": LONG_ID}}),
        # looplj/axonhub #1669, maximhq/bifrost PR 1000
        (rejection(f"Invalid 'user': string too long. Expected a string with maximum length 64, but got a string with "
                   f"length {len(LONG_ID)} instead.", param="user", code="string_above_max_length"), {"user": LONG_ID}),
        (rejection("metadata.user_id: user_id appears to contain an email address"),
         {"metadata": {"user_id": "a@b.c"}}),
    ],
)  # fmt: skip
def test_the_id_of_the_end_user_is_left_out_if_the_provider_rejects_its_form(
    error: ProviderErrorObject, body: dict[str, Any]
) -> None:
    """The answer does not depend on it; other values of the request may be shorter, so it is tried again."""
    found = repair({"messages": MESSAGES, **body}, error)
    assert found is not None
    assert (found.body, found.is_lasting) == ({"messages": MESSAGES}, False)


def test_other_labels_of_a_request_stay_without_the_id() -> None:
    """Only the id is left out."""
    body = {"metadata": {"user_id": LONG_ID, "label": "x"}, "messages": MESSAGES}
    found = repair(body, rejection("metadata.user_id: too long"))
    assert found is not None
    assert found.body == {"metadata": {"label": "x"}, "messages": MESSAGES}

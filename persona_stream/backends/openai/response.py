"""Responses of the Chat Completions API: texts, tool calls, usage, unknown fields and errors.

Providers deviate from OpenAI in most of these; the comments name the deviations that are handled.
"""

import logging
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from persona_stream.backends.openai import tool_calls
from persona_stream.backends.providers import errors, responses
from persona_stream.core.query import Answer, Finish, Usage

logger = logging.getLogger("persona_stream.backends.openai")

REASONING_FIELDS = (
    "reasoning_content", "reasoning", "thinking", "reasoning_text", "thinking_content", "thought", "thoughts",
)  # fmt: skip
KNOWN_MESSAGE_FIELDS = frozenset({"role", "content", "refusal", "tool_calls", "function_call", *REASONING_FIELDS})
KNOWN_CHOICE_FIELDS = frozenset({"index", "message", "delta", "finish_reason", "error", "tool_calls"})
_KNOWN_BODY_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "obfuscation"})
_KNOWN_USAGE_FIELDS = frozenset({
    "prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens",
})  # fmt: skip


def parse_completion(parsed: object, choices: int = 1) -> Answer:
    """Parse the body of a completion.

    Of several choices, the first one is the answer. The others are kept if the client requested them; otherwise they
    can only be parts of one answer: GitHub Copilot sends the text and the tool calls as two choices.

    Args:
        parsed: the body.
        choices: how many choices the client requested.

    Raises:
        ProviderError: it contains no answer.
    """
    match parsed:
        case {"choices": [{"message": dict(message), **choice}, *others], **rest}:
            body = dict(rest)
            if choices > 1:
                dicts = (other for other in others if isinstance(other, dict))
                body["choices"] = [_normalize_choice(other, index) for index, other in enumerate(dicts, 1)]
            elif others and not message.get("tool_calls"):
                message = {**message, "tool_calls": _calls_of_others(others)}
            return _parse_message(message, choice, body, parsed)
        case {"choices": _}:
            raise errors.ProviderError("empty", "no message")
        case _:
            raise errors.ProviderError("unreadable", "not a chat completion")


def _calls_of_others(choices: list[Any]) -> list[Any]:
    found: list[Any] = []
    for choice in choices:
        match choice:
            case {"message": {"tool_calls": list(calls)} as message} if not extract_text(message)[0]:
                found += calls
    return found


def _parse_message(message: dict[str, Any], choice: Mapping[Any, Any], body: Mapping[Any, Any], raw: object) -> Answer:
    text, reasoning = extract_text(message)
    calls = tool_calls.parse_tool_calls(message.get("tool_calls") or choice.get("tool_calls"))
    calls = calls or tool_calls.parse_tool_calls(
        [{"function": message.get("function_call")}, *tool_calls.content_calls(message)]
    )
    finish = responses.map_finish_reason(
        choice.get("finish_reason"), text=text, has_calls=bool(calls), logger=logger, field="finish_reason"
    )
    if finish == "stop" and is_refusal(message):
        finish = "refusal"
    usage = body.get("usage") or choice.get("usage")  # Moonshot has it in the choice
    unknown = {
        "message": responses.unknown_fields(message, KNOWN_MESSAGE_FIELDS),
        "choice": responses.unknown_fields(choice, KNOWN_CHOICE_FIELDS),
        "choices": {"others": others} if (others := body.get("choices")) else None,
        "completion": responses.unknown_fields(body, _KNOWN_BODY_FIELDS),
        "usage": responses.unknown_fields(usage, _KNOWN_USAGE_FIELDS),
    }
    extras = responses.provider_fields("openai", unknown)
    return Answer(text, reasoning or None, _parse_usage(usage), raw, finish=finish, calls=calls, extras=extras)


def _parse_usage(usage: object) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    given = responses.parse_count(usage.get("prompt_tokens", usage.get("input_tokens")))
    taken = responses.parse_count(usage.get("completion_tokens", usage.get("output_tokens")))
    if given is None or taken is None:
        return None
    details = usage.get("completion_tokens_details")
    reasoning = responses.parse_count(details.get("reasoning_tokens")) if isinstance(details, dict) else None
    return Usage(input_tokens=given, output_tokens=taken, reasoning_tokens=UNSET if reasoning is None else reasoning)


_REASON_BY_FINISH: Mapping[Finish, str] = {
    "stop": "stop", "length": "length", "tools": "tool_calls", "filter": "content_filter", "refusal": "stop",
}  # fmt: skip


def _normalize_choice(choice: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return a choice beside the answer in the form that OpenAI's clients expect."""
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    text, reasoning = extract_text(message)
    calls = tool_calls.parse_tool_calls(message.get("tool_calls"))
    finish = responses.map_finish_reason(
        choice.get("finish_reason"), text=text or " .", has_calls=bool(calls), logger=logger, field="finish_reason"
    )
    refusal = is_refusal(message)
    found = {
        "reasoning_content": reasoning,
        "tool_calls": [tool_calls.build_tool_call(call) for call in calls],
        **responses.unknown_fields(message, KNOWN_MESSAGE_FIELDS),
    }
    content = {"content": None if refusal or not text else text, "refusal": text if refusal else None}
    return {
        "index": index,
        "message": {"role": "assistant", **content, **{name: value for name, value in found.items() if value}},
        "logprobs": choice.get("logprobs"),
        "finish_reason": _REASON_BY_FINISH[finish],
    }


def extract_text(message: Mapping[str, object]) -> tuple[str, str]:
    """Return the text and the reasoning of a message or a delta."""
    text, reasoning = content_text(message.get("content"))
    if not text and isinstance(refusal := message.get("refusal"), str):
        text = refusal
    # Some providers send the reasoning under several names.
    for name in REASONING_FIELDS:
        match message.get(name):
            case str(value) | {"content": str(value)} | {"text": str(value)} if value:
                return text, value
    return text, reasoning or _details_text(message.get("reasoning_details"))


def is_refusal(message: Mapping[str, object]) -> bool:
    """Return whether the text of a message or a delta is a refusal."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [content] if content else [message]
    refusals = [part for part in parts if isinstance(part, dict) and part.get("refusal")]
    return bool(refusals) and len(refusals) == len(parts)


def _details_text(details: object) -> str:
    """Return the text in ``reasoning_details``, as OpenRouter has them."""
    text = ""
    for detail in details if isinstance(details, list) else ():
        match detail:
            case {"type": "reasoning.text", "text": str(part)} | {"type": "reasoning.summary", "summary": str(part)}:
                text += part
    return text


def content_text(content: object) -> tuple[str, str]:
    """Return the text and the reasoning in a ``content``, in each of the forms that providers have for it."""
    if isinstance(content, str):
        return content, ""
    text = ""
    reasoning = ""
    for part in content if isinstance(content, list) else ():
        match part:
            case {"thinking": str(thinking)} | {"type": "reasoning", "text": str(thinking)}:
                reasoning += thinking
            case {"thinking": list(inner)}:
                reasoning += "".join(map(_part_text, inner))
            case _:
                text += _part_text(part)
    return text, reasoning


def _part_text(part: object) -> str:
    match part:
        case str(text) | {"text": str(text)} | {"refusal": str(text)}:
            return text
        case _:
            return ""


def parse_error(parsed: object) -> errors.ProviderErrorObject | None:
    """Return the error object in a response body or a chunk of a stream, or ``None``."""
    if isinstance(parsed, list) and parsed:  # Google
        parsed = parsed[0]
    if not isinstance(parsed, dict):
        return None
    match parsed.get("choices"):
        # Gateways report a provider's failure in the middle of an answer inside the choice.
        case [{"error": choice_error}, *_] if found := errors.parse_error_object(choice_error):
            return found
    if found := errors.parse_body_error(parsed, "object"):
        return found
    if (error := parsed.get("error")) and not isinstance(error, dict | str):
        return errors.ProviderErrorObject()
    return errors.parse_bare_error(parsed)

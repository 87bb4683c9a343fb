"""Responses of the Responses API: texts, reasoning, calls, usage and errors."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from persona_stream.backends.providers import errors, responses
from persona_stream.core.content import ToolCall
from persona_stream.core.query import Answer, Usage

logger = logging.getLogger("persona_stream.backends.openai_responses")

REASONING_ITEMS = "reasoning_items"
"""Field of an assistant message that keeps the reasoning items of this API in conversations."""
PARAGRAPH = "\n\n"  # between the parts of a reasoning


def parse_completion(parsed: object, choices: int = 1) -> Answer:
    """Parse a response object.

    Raises:
        ProviderError: it contains no answer.
    """
    match parsed:
        case {"output": list(items), **rest}:
            return _parse_output([item for item in items if isinstance(item, dict)], rest, parsed)
        case _:
            raise errors.ProviderError("unreadable", "not a response object")


def _parse_output(items: Sequence[Mapping[str, Any]], body: Mapping[Any, Any], raw: object) -> Answer:
    texts = [part_text(part) for item in items for part in message_parts(item)]
    text = "".join(texts)
    calls = tuple(call for item in items if (call := _parse_call(item)) is not None)
    details = body.get("incomplete_details")
    finish = responses.map_finish_reason(
        details.get("reason") if isinstance(details, dict) else body.get("status"),
        text=text,
        has_calls=bool(calls),
        logger=logger,
        field="status",
    )
    if finish == "stop" and any(is_refusal(part) for item in items for part in message_parts(item)):
        finish = "refusal"
    usage = body.get("usage")
    return Answer(
        text,
        PARAGRAPH.join(part for item in items for part in reasoning_parts(item)) or None,
        _parse_usage(usage),
        raw,
        finish=finish,
        calls=calls,
        extras=responses.provider_fields("openai", {"message": _required_items(items), "usage": _cached_tokens(usage)}),
    )


def message_parts(item: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the parts of a message; none of another item."""
    content = item.get("content") if item.get("type") == "message" else ()
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else ()


def part_text(part: Mapping[str, Any]) -> str:
    """Return the text of a part, which may be a refusal."""
    return responses.string_or_empty(part.get("text") or part.get("refusal"))


def is_refusal(part: Mapping[str, Any]) -> bool:
    """Return whether a part is a refusal."""
    return part.get("type") == "refusal"


def reasoning_parts(item: Mapping[str, Any]) -> Sequence[str]:
    """Return the texts of a reasoning: its summary, or its content if it has no summary; none of another item."""
    if item.get("type") != "reasoning":
        return ()
    for name in ("summary", "content"):
        parts = item.get(name)
        texts = [part_text(part) for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
        if any(texts):
            return [text for text in texts if text]
    return ()


def _required_items(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the reasoning that the provider requires back: items, each after the number of the ones before it.

    A request has the text of an answer first, and then its calls.
    """
    found: list[tuple[int, dict[str, Any]]] = []
    has_text = False
    calls = 0
    for item in items:
        has_text |= any(part_text(part) for part in message_parts(item))
        calls += item.get("type") == "function_call"
        if item.get("type") == "reasoning" and item.get("encrypted_content"):
            found.append((has_text + calls, {name: value for name, value in item.items() if value is not None}))
    return {REASONING_ITEMS: found} if found else {}


def _parse_call(item: Mapping[str, Any]) -> ToolCall | None:
    match item:
        case {"type": "function_call", "name": str(name), **rest} if name:
            arguments = responses.string_or_empty(rest.get("arguments")).strip()
            call_id = responses.string_or_empty(rest.get("call_id")) or responses.string_or_empty(rest.get("id"))
            if not call_id:
                raise errors.ProviderError("unreadable", "a tool call without an id")
            return ToolCall(call_id, name, arguments or "{}")
        case {"type": "function_call" | "custom_tool_call"}:
            raise errors.ProviderError("unreadable", "a tool call without a name, or of a custom tool")
        case _:
            return None


def _parse_usage(usage: object) -> Usage | None:
    match usage:
        case {"input_tokens": int(given), "output_tokens": int(taken), **rest} if given >= 0 and taken >= 0:
            match rest:
                case {"output_tokens_details": {"reasoning_tokens": int(reasoning)}} if reasoning > 0:
                    return Usage(input_tokens=int(given), output_tokens=int(taken), reasoning_tokens=int(reasoning))
            return Usage(input_tokens=int(given), output_tokens=int(taken))
        case _:
            return None


def _cached_tokens(usage: object) -> dict[str, Any]:
    """Return the number of cached tokens as chat completions have it."""
    match usage:
        case {"input_tokens_details": {"cached_tokens": int(cached)}} if cached > 0:
            return {"prompt_tokens_details": {"cached_tokens": cached}}
        case _:
            return {}


def parse_error(parsed: object) -> errors.ProviderErrorObject | None:
    """Return the error object in a response body or an event of a stream, or ``None``."""
    if not isinstance(parsed, dict):
        return None
    inner = parsed.get("response")
    if isinstance(inner, dict):
        return _parse_failure(inner)
    return errors.parse_body_error(parsed, "type") or _parse_failure(parsed) or errors.parse_bare_error(parsed)


def _parse_failure(response: Mapping[str, Any]) -> errors.ProviderErrorObject | None:
    if response.get("status") in ("failed", "cancelled"):
        return errors.parse_error_object(response.get("error")) or errors.ProviderErrorObject()
    return None

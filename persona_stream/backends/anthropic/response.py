"""Responses of the Messages API: texts, tool calls, stop reasons, usage, unknown fields and errors."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from persona_stream.backends.providers import responses
from persona_stream.backends.providers.errors import ProviderError, ProviderErrorObject
from persona_stream.backends.providers.responses import provider_fields, string_or_empty, unknown_fields
from persona_stream.core.content import ToolCall
from persona_stream.core.query import Answer, Finish, Usage

logger = logging.getLogger("persona_stream.backends.anthropic")

_FINISHES: Mapping[str, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tools",
    "refusal": "filter",
}
_KNOWN_MESSAGE_FIELDS = frozenset({"id", "type", "role", "model", "content", "usage"})
_KNOWN_USAGE_FIELDS = frozenset({"input_tokens", "output_tokens"})


def parse_message(parsed: object) -> Answer:
    """Parse a message.

    Raises:
        ProviderError: it contains no answer.
    """
    match parsed:
        case {"content": str(text), **message}:
            return _parse_content([{"type": "text", "text": text}], message, parsed)
        case {"content": list(blocks), **message}:
            return _parse_content(blocks, message, parsed)
        case {"type": "message"}:
            raise ProviderError("empty", "no content")
        case _:
            raise ProviderError("unreadable", "not a message")


def _parse_content(blocks: list[Any], message: Mapping[Any, Any], raw: object) -> Answer:
    text = ""
    reasoning = ""
    calls: list[ToolCall] = []
    unknown_blocks: list[Any] = []
    for block in blocks:
        match block:
            case {"type": "text", **rest}:
                text += string_or_empty(rest.get("text"))
            case {"type": "thinking", **rest}:
                reasoning += string_or_empty(rest.get("thinking"))
            case {"type": "tool_use", "id": str(id_), "name": str(name), **rest}:
                calls.append(ToolCall(id_, name, dump_tool_input(rest.get("input"))))
            case {"type": "tool_use"}:
                raise ProviderError("unreadable", "a tool call without an id or a name")
            case dict():
                unknown_blocks.append(block)
    reason = message.get("stop_reason")
    finish = responses.map_finish_reason(
        reason, _FINISHES, text=text, has_calls=bool(calls), logger=logger, field="stop_reason"
    )
    usage = message.get("usage")
    unknown = {
        "message": unknown_fields(message, _KNOWN_MESSAGE_FIELDS),
        "content": unknown_blocks,
        "usage": unknown_fields(usage, _KNOWN_USAGE_FIELDS),
    }
    extras = provider_fields("anthropic", unknown)
    return Answer(text, reasoning or None, _parse_usage(usage), raw, finish=finish, calls=tuple(calls), extras=extras)


def _parse_usage(usage: object) -> Usage | None:
    """Parse the usage. Tokens read from or written to a cache are not included in ``input_tokens``, so add them."""
    if not isinstance(usage, dict):
        return None
    input_tokens = _count(usage.get("input_tokens"))
    output_tokens = _count(usage.get("output_tokens"))
    if input_tokens is None or output_tokens is None:
        return None
    cached = (usage.get("cache_creation_input_tokens"), usage.get("cache_read_input_tokens"))
    return Usage(input_tokens=input_tokens + sum(_count(tokens) or 0 for tokens in cached), output_tokens=output_tokens)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def parse_tool_input(arguments: str) -> dict[str, object]:
    """Parse the arguments of a call, which are an object in this API and elsewhere JSON as the model wrote it.

    Invalid JSON, from a careless model or one that reached its token limit, becomes the single argument ``arguments``,
    so that the conversation can continue and the model sees its mistake.
    """
    parsed = responses.loads_lenient(arguments)
    if isinstance(parsed, dict):
        return parsed
    return {"arguments": arguments} if arguments.strip() else {}


def dump_tool_input(value: object) -> str:
    """Serialize the ``input`` of a call; a string was assembled from a stream, and is JSON already."""
    if isinstance(value, str):
        return value.strip() or "{}"
    return "{}" if value is None else json.dumps(value, ensure_ascii=False)


_STATUS_BY_ERROR_TYPE: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def parse_error(parsed: object) -> ProviderErrorObject | None:
    """Return the error object in a response body or an event of a stream, or ``None``."""
    if not isinstance(parsed, dict) or not (error := parsed.get("error") or parsed.get("type") == "error"):
        return None
    match error:
        case dict():
            kind, message = error.get("type"), error.get("message")
        case str():
            kind, message = None, error
        case _:
            kind, message = None, parsed.get("message")
    status = _STATUS_BY_ERROR_TYPE.get(kind, 500) if isinstance(kind, str) else 500
    return ProviderErrorObject(status, message=string_or_empty(message))

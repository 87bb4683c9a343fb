"""A message as an ``Answer``.

What Anthropic's error objects mean.

The arguments of a call: an object on this wire, and everywhere else JSON as the model wrote it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from persona_stream.backends.providers.base import ErrorObject
from persona_stream.backends.providers.errors import ProviderError
from persona_stream.backends.providers.responses import loads_lenient, map_finish_reason
from persona_stream.core.content import ProviderFields, ToolCall
from persona_stream.core.query import Answer, Finish, Usage


def parse_tool_input(arguments: str) -> dict[str, object]:
    """Give arguments as an object.

    What is none, because a model wrote it badly or came to its limit, becomes the one argument ``arguments``: so the
    conversation can go on, and the model sees what it did.
    """
    parsed = loads_lenient(arguments)
    if isinstance(parsed, dict):
        return parsed
    return {"arguments": arguments} if arguments.strip() else {}


def dump_tool_input(found: object) -> str:
    """Give an ``input`` as JSON. One that is a text was written down in parts, and is what the model wrote."""
    if isinstance(found, str):
        return found.strip() or "{}"
    return "{}" if found is None else json.dumps(found, ensure_ascii=False)


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
_OURS_IN_MESSAGE = frozenset({"id", "type", "role", "model", "content", "usage"})
_OURS_IN_USAGE = frozenset({"input_tokens", "output_tokens"})


def parse_message(parsed: object) -> Answer:
    """Give the answer in a message.

    Raises:
        Trouble: there is none in it.
    """
    match parsed:
        case {"content": str(text), **others}:
            return _answer([{"type": "text", "text": text}], others, parsed)
        case {"content": list(blocks), **others}:
            return _answer(blocks, others, parsed)
        case {"type": "message"}:
            raise ProviderError("empty", "no content")
        case _:
            raise ProviderError("unreadable", "no message")


def _answer(blocks: list[Any], message: Mapping[Any, Any], raw: object) -> Answer:
    text, thoughts, calls, others = "", "", [], []
    for block in blocks:
        match block:
            case {"type": "text", **rest}:
                text += _string(rest.get("text"))
            case {"type": "thinking", **rest}:
                thoughts += _string(rest.get("thinking"))
            case {"type": "tool_use", "id": str(id_), "name": str(name), **rest}:
                calls.append(ToolCall(id_, name, dump_tool_input(rest.get("input"))))
            case {"type": "tool_use"}:
                raise ProviderError("unreadable", "a call without an id and a name")
            case dict():
                others.append(block)
    reason = message.get("stop_reason")
    finish = map_finish_reason(reason, _FINISHES, calls=bool(calls), logger=logger, field="stop_reason")
    # What came to its limit before it said a word is what the client's own limit made of it.
    if not (text.strip() or calls or finish == "length"):
        raise ProviderError("filtered" if finish == "filter" else "empty", f"no text, stop_reason {reason!r:.100}")
    usage = message.get("usage")
    return Answer(
        text,
        thoughts or None,
        _usage(usage),
        raw,
        finish=finish,
        calls=tuple(calls),
        extras=_extras(message, others, usage),
    )


def _usage(usage: object) -> Usage | None:
    """Add up what went in: what was read from a cache, or written into one, is not among ``input_tokens``."""
    if not isinstance(usage, dict):
        return None
    given, taken = _count(usage.get("input_tokens")), _count(usage.get("output_tokens"))
    if given is None or taken is None:
        return None
    cached = (usage.get("cache_creation_input_tokens"), usage.get("cache_read_input_tokens"))
    return Usage(input_tokens=given + sum(_count(tokens) or 0 for tokens in cached), output_tokens=taken)


def _extras(message: Mapping[Any, Any], others: list[Any], usage: object) -> ProviderFields | None:
    said = {name: value for name, value in message.items() if name not in _OURS_IN_MESSAGE and value is not None}
    counts = usage if isinstance(usage, dict) else {}
    counted = {name: value for name, value in counts.items() if name not in _OURS_IN_USAGE and value is not None}
    fields = {"message": said, "content": others, "usage": counted}
    found = {place: what for place, what in fields.items() if what}
    return ProviderFields("anthropic", found) if found else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


_STATUSES: Mapping[str, int] = {
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


def parse_error(parsed: object) -> ErrorObject | None:
    """Find the error object in a body, or in an event of a stream."""
    if not isinstance(parsed, dict) or not (error := parsed.get("error") or parsed.get("type") == "error"):
        return None
    match error:
        case dict():
            kind, message = error.get("type"), error.get("message")
        case str():
            kind, message = None, error
        case _:
            kind, message = None, parsed.get("message")
    status = _STATUSES.get(kind, 500) if isinstance(kind, str) else 500
    return ErrorObject(status, message=message if isinstance(message, str) else "")

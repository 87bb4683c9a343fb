"""Responses of the Messages API: texts, tool calls, usage, unknown fields and errors."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from persona_stream.backends.providers import errors, responses
from persona_stream.core.content import ProviderFields, ToolCall
from persona_stream.core.query import Answer, Usage

logger = logging.getLogger("persona_stream.backends.anthropic")

_KNOWN_MESSAGE_FIELDS = frozenset({"id", "type", "role", "model", "content", "usage"})
_KNOWN_USAGE_FIELDS = frozenset({"input_tokens", "output_tokens"})


def parse_message(parsed: object, choices: int = 1) -> Answer:
    """Parse a message, which is always one choice.

    Raises:
        ProviderError: it contains no answer.
    """
    match parsed:
        case {"content": str(text), **message}:
            return _parse_content([{"type": "text", "text": text}], message, parsed)
        case {"content": list(blocks), **message}:
            return _parse_content(blocks, message, parsed)
        case {"type": "message"}:
            raise errors.ProviderError("empty", "no content")
        case _:
            raise errors.ProviderError("unreadable", "not a message")


def _parse_content(blocks: list[Any], message: Mapping[Any, Any], raw: object) -> Answer:
    text = ""
    reasoning = ""
    calls: list[ToolCall] = []
    unknown_blocks: list[Any] = []
    thinking: list[tuple[int, str]] = []
    for block in blocks:
        match block:
            case {"type": "text", **rest}:
                text += responses.string_or_empty(rest.get("text"))
            case {"type": "thinking", **rest}:
                thought = responses.string_or_empty(rest.get("thinking"))
                reasoning += thought
                thinking.append((len(thought), responses.string_or_empty(rest.get("signature"))))
            case {"type": "tool_use", "id": str(id_), "name": str(name), **rest}:
                fields = responses.unknown_fields(rest, frozenset({"input"}))
                extras = ProviderFields("anthropic", fields) if fields else UNSET
                calls.append(ToolCall(id_, name, dump_tool_input(rest.get("input")), extras))
            case {"type": "tool_use"}:
                raise errors.ProviderError("unreadable", "a tool call without an id or a name")
            case dict():
                unknown_blocks.append(block)
    reason = message.get("stop_reason")
    finish = responses.map_finish_reason(reason, text=text, has_calls=bool(calls), logger=logger, field="stop_reason")
    usage = message.get("usage")
    unknown = {
        "message": responses.unknown_fields(message, _KNOWN_MESSAGE_FIELDS),
        "content": unknown_blocks,
        "thinking": thinking if any(signature for _, signature in thinking) else None,
        "usage": responses.unknown_fields(usage, _KNOWN_USAGE_FIELDS),
    }
    more = responses.provider_fields("anthropic", unknown)
    return Answer(text, reasoning or None, _parse_usage(usage), raw, finish=finish, calls=tuple(calls), extras=more)


def _parse_usage(usage: object) -> Usage | None:
    """Parse the usage. Tokens read from or written to a cache are not included in ``input_tokens``, so add them."""
    if not isinstance(usage, dict):
        return None
    input_tokens = responses.parse_count(usage.get("input_tokens"))
    output_tokens = responses.parse_count(usage.get("output_tokens"))
    if input_tokens is None or output_tokens is None:
        return None
    cached = (usage.get("cache_creation_input_tokens"), usage.get("cache_read_input_tokens"))
    details = usage.get("output_tokens_details")
    thinking = responses.parse_count(details.get("thinking_tokens")) if isinstance(details, dict) else None
    return Usage(
        input_tokens=input_tokens + sum(responses.parse_count(tokens) or 0 for tokens in cached),
        output_tokens=output_tokens,
        reasoning_tokens=UNSET if thinking is None else thinking,
    )


def dump_tool_input(value: object) -> str:
    """Serialize the ``input`` of a call; a string was assembled from a stream, and is JSON already."""
    if isinstance(value, str):
        return responses.normalize_arguments(value)
    return responses.NO_ARGUMENTS if value is None else json.dumps(value, ensure_ascii=False)


def parse_error(parsed: object) -> errors.ProviderErrorObject | None:
    """Return the error object in a response body or an event of a stream, or ``None``."""
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]
    if not isinstance(parsed, dict):
        return None
    if found := errors.parse_body_error(parsed, "type"):
        return found
    return None if "content" in parsed or "type" in parsed else errors.parse_bare_error(parsed)

"""A message as an ``Answer``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from persona_stream.backends.anthropic.arguments import arguments_of
from persona_stream.backends.providers.finishing import finish_of
from persona_stream.backends.providers.trouble import Trouble
from persona_stream.core.content import Extras, ToolCall
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
_OURS_IN_MESSAGE = frozenset({"id", "type", "role", "model", "content", "usage"})
_OURS_IN_USAGE = frozenset({"input_tokens", "output_tokens"})


def answer_of(parsed: object) -> Answer:
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
            raise Trouble("empty", "no content")
        case _:
            raise Trouble("unreadable", "no message")


def _answer(blocks: list[Any], message: Mapping[Any, Any], raw: object) -> Answer:
    text, thoughts, calls, others = "", "", [], []
    for block in blocks:
        match block:
            case {"type": "text", **rest}:
                text += _string(rest.get("text"))
            case {"type": "thinking", **rest}:
                thoughts += _string(rest.get("thinking"))
            case {"type": "tool_use", "id": str(id_), "name": str(name), **rest}:
                calls.append(ToolCall(id_, name, arguments_of(rest.get("input"))))
            case {"type": "tool_use"}:
                raise Trouble("unreadable", "a call without an id and a name")
            case dict():
                others.append(block)
    reason = message.get("stop_reason")
    finish = finish_of(reason, _FINISHES, calls=bool(calls), logger=logger, field="stop_reason")
    # What came to its limit before it said a word is what the client's own limit made of it.
    if not (text.strip() or calls or finish == "length"):
        raise Trouble("filtered" if finish == "filter" else "empty", f"no text, stop_reason {reason!r:.100}")
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


def _extras(message: Mapping[Any, Any], others: list[Any], usage: object) -> Extras | None:
    said = {name: value for name, value in message.items() if name not in _OURS_IN_MESSAGE and value is not None}
    counts = usage if isinstance(usage, dict) else {}
    counted = {name: value for name, value in counts.items() if name not in _OURS_IN_USAGE and value is not None}
    fields = {"message": said, "content": others, "usage": counted}
    found = {place: what for place, what in fields.items() if what}
    return Extras("anthropic", found) if found else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""

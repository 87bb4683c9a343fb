"""A completion as an ``Answer``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from persona_stream.backends.openai.calls import calls_of
from persona_stream.backends.openai.contents import said_in
from persona_stream.backends.openai.extras import extras_of
from persona_stream.backends.providers.finishing import finish_of
from persona_stream.backends.providers.trouble import Kind, Trouble
from persona_stream.core.query import Answer, Finish, Usage

logger = logging.getLogger("persona_stream.backends.openai")

_FINISHES: Mapping[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "model_length": "length",  # Mistral's, where the model's own limit was met
    "max_tokens": "length",  # of gateways that pass on what others say
    "tool_calls": "tools",
    "content_filter": "filter",
}
# Reasons that are none: OpenRouter and Mistral, and DeepSeek.
_FAILURES: Mapping[str, Kind] = {"error": "failed", "insufficient_system_resource": "busy"}


def answer_of(parsed: object) -> Answer:
    """Give the answer in the body of a completion.

    Raises:
        Trouble: there is none in it.
    """
    match parsed:
        case {"choices": [{"message": dict(message), **choice}, *_], **others}:
            return _answer(message, choice.get("finish_reason"), others, parsed)
        case {"choices": _}:
            raise Trouble("empty", "no message")
        case _:
            raise Trouble("unreadable", "no chat completion")


def _answer(message: dict[str, Any], reason: object, body: Mapping[Any, Any], raw: object) -> Answer:
    text, reasoning = said_in(message)
    calls = calls_of(message.get("tool_calls"))
    if isinstance(reason, str) and reason in _FAILURES:
        raise Trouble(_FAILURES[reason], f"finish_reason {reason!r}", elsewhere=True)
    finish = finish_of(reason, _FINISHES, calls=bool(calls), logger=logger, field="finish_reason")
    # What came to its limit before it said a word is what the client's own limit made of it.
    if not (text.strip() or calls or finish == "length"):
        raise Trouble("filtered" if finish == "filter" else "empty", f"no text, finish_reason {reason!r:.100}")
    return Answer(
        text,
        reasoning or None,
        _usage(body),
        raw,
        finish=finish,
        calls=calls,
        extras=extras_of(message, body),
    )


def _usage(body: Mapping[Any, Any]) -> Usage | None:
    match body:
        case {"usage": {"prompt_tokens": int(given), "completion_tokens": int(taken)}} if given >= 0 and taken >= 0:
            return Usage(input_tokens=int(given), output_tokens=int(taken))
        case _:
            return None

"""A provider's reply as an ``Answer``, whatever that reply is."""

from __future__ import annotations

import json
import logging

from persona_stream.backends.openai.statuses import refusal_of, status_within
from persona_stream.backends.openai.trouble import Trouble, quote
from persona_stream.backends.openai.wire import Reply
from persona_stream.query import Answer, Usage

logger = logging.getLogger("persona_stream.backends.openai")


def read(reply: Reply, now: float) -> Answer:
    """Give the answer in a reply.

    Args:
        reply: what the provider sent.
        now: the moment, in seconds since 1970.

    Raises:
        Trouble: there is none in it.
    """
    parsed = _parse(reply.body)
    error = _error_in(parsed)
    if not 200 <= reply.status < 300:
        raise refusal_of(reply, reply.status, error, now)
    if error:
        raise refusal_of(reply, status_within(error), error, now)
    match parsed:
        case {"choices": [{"message": dict(message), **choice}, *_]}:
            return _answer(message, choice.get("finish_reason"), parsed)
        case {"choices": _}:
            raise Trouble("empty", f"no message: {quote(reply.body)}")
        case _:
            raise Trouble("unreadable", f"no chat completion: {quote(reply.body)}")


def _parse(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _error_in(parsed: object) -> object:
    match parsed:
        # A gateway whose provider failed in the middle of an answer says so beside what it has of it.
        case {"choices": [{"error": error}, *_]} if error:
            return error
        case {"error": error}:
            return error
        case _:
            return None


def _answer(message: dict[str, object], finish_reason: object, parsed: object) -> Answer:
    text, thoughts = _texts(message.get("content"))
    refusal = message.get("refusal")
    if not text and isinstance(refusal, str):
        text = refusal
    if not text.strip():
        raise Trouble(
            "filtered" if finish_reason == "content_filter" else "empty",
            f"no text in the message, finish_reason {finish_reason!r:.100}",
        )
    if finish_reason not in ("stop", None):
        logger.info("the answer may not be whole: finish_reason %.100r", finish_reason)
    said = [message.get("reasoning_content"), message.get("reasoning"), thoughts]
    reasoning = next((each for each in said if isinstance(each, str) and each), None)
    return Answer(text, reasoning, _usage(parsed), parsed)


def _texts(content: object) -> tuple[str, str]:
    if isinstance(content, str):
        return content, ""
    text, thoughts = "", ""
    for part in content if isinstance(content, list) else ():
        match part:
            case {"thinking": str(words)}:
                thoughts += words
            case {"thinking": list(inner)}:
                thoughts += "".join(map(_text, inner))
            case _:
                text += _text(part)
    return text, thoughts


def _text(part: object) -> str:
    match part:
        case str(words) | {"text": str(words)} | {"refusal": str(words)}:
            return words
        case _:
            return ""


def _usage(parsed: object) -> Usage | None:
    match parsed:
        case {"usage": {"prompt_tokens": int(given), "completion_tokens": int(taken)}} if given >= 0 and taken >= 0:
            return Usage(input_tokens=int(given), output_tokens=int(taken))
        case _:
            return None

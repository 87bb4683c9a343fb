"""A completion as an ``Answer``.

The texts in a message, or in a part of one, in each form that providers have for them.

Calls of tools: whole, or put together from the parts in a stream.

Parts should have an ``index``, and the first one of each call its id and name. Providers differ: one has the index 0
for every call, another none at all, a third repeats id and name in each part. So a part begins a new call where its
index is new, or its id is another one; without both, where it has a name.

What a provider says beyond our own words; clients of its dialect get it where it was.

What OpenAI's error objects mean.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from persona_stream.backends.providers.base import ErrorObject
from persona_stream.backends.providers.errors import ErrorKind, ProviderError
from persona_stream.backends.providers.responses import map_finish_reason
from persona_stream.core.content import ProviderFields, ToolCall
from persona_stream.core.query import Answer, Finish, Usage


def parse_tool_calls(found: object) -> tuple[ToolCall, ...]:
    """Give the calls in the ``tool_calls`` of a whole message.

    Raises:
        Trouble: one of them does not say what to call.
    """
    calls = ToolCallAssembler()
    for place, call in enumerate(found if isinstance(found, list) else ()):
        if isinstance(call, dict):
            calls.feed({**call, "index": place})
    return calls.whole()


@dataclass(slots=True)
class _Call:
    index: int
    id: str
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class ToolCallAssembler:
    """Put calls together."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}

    def feed(self, part: Mapping[str, object]) -> str:
        """Take a part of a call, and give what is kept of it."""
        function = part.get("function")
        function = function if isinstance(function, dict) else {}
        id_, name, arguments = _string(part.get("id")), _string(function.get("name")), function.get("arguments")
        text = json.dumps(arguments, ensure_ascii=False) if isinstance(arguments, dict) else _string(arguments)
        if kept := id_ + name + text:
            call = self._find(part.get("index"), id_, name)
            call.id, call.name = call.id or id_, call.name or name
            call.arguments.append(text)
        return kept

    def whole(self) -> tuple[ToolCall, ...]:
        """Give the calls in their order.

        Raises:
            Trouble: one of them does not say what to call.
        """
        if not all(call.name for call in self._calls):
            raise ProviderError("unreadable", "a call without a name")
        return tuple(
            # Clients answer by id, and read arguments as JSON: a call of neither is one that has none.
            ToolCall(call.id or f"call_{uuid.uuid4().hex[:24]}", call.name, "".join(call.arguments).strip() or "{}")
            for call in sorted(self._calls, key=lambda call: call.index)
        )

    def _find(self, index: object, id_: str, name: str) -> _Call:
        place = index if isinstance(index, int) and not isinstance(index, bool) else None
        found: _Call | None
        if place is not None:
            found = self._by_index.get(place)
        elif id_:
            found = self._by_id.get(id_)
        else:
            found = self._calls[-1] if self._calls else None
            if found is not None and name and found.name:
                found = None
        if found is None or (id_ and found.id and id_ != found.id):
            found = _Call(self._next() if place is None else place, id_)
            self._calls.append(found)
        self._by_index[found.index] = found
        if id_:
            self._by_id[id_] = found
        return found

    def _next(self) -> int:
        return max(self._by_index, default=-1) + 1


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def content_text(content: object) -> tuple[str, str]:
    """Give the text in a ``content``, and the thoughts that stand beside it."""
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


def extract_text(message: Mapping[str, object]) -> tuple[str, str]:
    """Give what a message, or a part of one, says, and what it thinks; some say the latter twice, under two names."""
    text, thoughts = content_text(message.get("content"))
    if not text and isinstance(refusal := message.get("refusal"), str):
        text = refusal
    for name in ("reasoning_content", "reasoning"):
        reasoning = message.get(name)
        if reasoning and isinstance(reasoning, str):
            return text, reasoning
    return text, thoughts


def _text(part: object) -> str:
    match part:
        case str(words) | {"text": str(words)} | {"refusal": str(words)}:
            return words
        case _:
            return ""


OURS_IN_MESSAGE = frozenset(
    {"role", "content", "refusal", "tool_calls", "function_call", "reasoning_content", "reasoning"}
)
_OURS_IN_BODY = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "obfuscation"})
_OURS_IN_USAGE = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})


def provider_fields(message: Mapping[str, Any], body: Mapping[str, Any]) -> ProviderFields | None:
    """Give the fields that are not ours, by where they are; ``None``, where there are none."""
    fields = {
        "message": _others(message, OURS_IN_MESSAGE),
        "completion": _others(body, _OURS_IN_BODY),
        "usage": _others(body.get("usage"), _OURS_IN_USAGE),
    }
    found = {place: others for place, others in fields.items() if others}
    return ProviderFields("openai", found) if found else None


def _others(said: object, ours: Set[str]) -> dict[str, Any]:
    if not isinstance(said, Mapping):
        return {}
    return {name: value for name, value in said.items() if name not in ours and value is not None}


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
_FAILURES: Mapping[str, ErrorKind] = {"error": "failed", "insufficient_system_resource": "busy"}


def parse_completion(parsed: object) -> Answer:
    """Give the answer in the body of a completion.

    Raises:
        Trouble: there is none in it.
    """
    match parsed:
        case {"choices": [{"message": dict(message), **choice}, *_], **others}:
            return _answer(message, choice.get("finish_reason"), others, parsed)
        case {"choices": _}:
            raise ProviderError("empty", "no message")
        case _:
            raise ProviderError("unreadable", "no chat completion")


def _answer(message: dict[str, Any], reason: object, body: Mapping[Any, Any], raw: object) -> Answer:
    text, reasoning = extract_text(message)
    calls = parse_tool_calls(message.get("tool_calls"))
    if isinstance(reason, str) and reason in _FAILURES:
        raise ProviderError(_FAILURES[reason], f"finish_reason {reason!r}", fallback_allowed=True)
    finish = map_finish_reason(reason, _FINISHES, calls=bool(calls), logger=logger, field="finish_reason")
    # What came to its limit before it said a word is what the client's own limit made of it.
    if not (text.strip() or calls or finish == "length"):
        raise ProviderError("filtered" if finish == "filter" else "empty", f"no text, finish_reason {reason!r:.100}")
    return Answer(
        text,
        reasoning or None,
        _usage(body),
        raw,
        finish=finish,
        calls=calls,
        extras=provider_fields(message, body),
    )


def _usage(body: Mapping[Any, Any]) -> Usage | None:
    match body:
        case {"usage": {"prompt_tokens": int(given), "completion_tokens": int(taken)}} if given >= 0 and taken >= 0:
            return Usage(input_tokens=int(given), output_tokens=int(taken))
        case _:
            return None


_BY_CODE: Mapping[str, ErrorKind] = {
    "invalid_api_key": "credentials",
    "insufficient_quota": "credit",
    "model_not_found": "model",
    "context_length_exceeded": "too_long",
    "content_filter": "filtered",
    "content_policy_violation": "filtered",
}


def parse_error(parsed: object) -> ErrorObject | None:
    """Find the error object in a body, or in a chunk of a stream."""
    if not isinstance(parsed, dict):
        return None
    error = parsed.get("error") or (parsed if parsed.get("object") == "error" else None)
    match parsed.get("choices"):
        # A gateway whose provider failed in the middle of an answer says so beside what it has of it.
        case [{"error": beside}, *_] if beside:
            error = beside
    if not error:
        return None
    if not isinstance(error, dict):
        return ErrorObject(message=error if isinstance(error, str) else "")
    code, message = error.get("code"), error.get("message")
    kind = _BY_CODE.get(code) if isinstance(code, str) else None
    return ErrorObject(_status(code), kind, message if isinstance(message, str) else "")


def _status(code: object) -> int:
    """Give the status that stands in ``code``, where gateways put it."""
    if isinstance(code, str):
        code = 429 if code == "rate_limit_exceeded" else int(code) if re.fullmatch("[1-9][0-9]{2}", code) else None
    return code if isinstance(code, int) and 400 <= code <= 599 else 500

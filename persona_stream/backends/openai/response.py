"""Responses of the Chat Completions API, whole or streamed: texts, tool calls, usage, unknown fields and errors.

Providers deviate from OpenAI in most of these; the comments name the deviations that are handled.
"""

import json
import logging
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from persona_stream.backends.providers import base, errors, responses
from persona_stream.core.content import ToolCall
from persona_stream.core.query import Answer, Finish, Usage

logger = logging.getLogger("persona_stream.backends.openai")

_FINISHES: Mapping[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "model_length": "length",  # Mistral: the limit of the model
    "max_tokens": "length",  # gateways that forward the reasons of other providers
    "tool_calls": "tools",
    "content_filter": "filter",
}
# Finish reasons that stand for errors: OpenRouter and Mistral, and DeepSeek.
_FAILURES: Mapping[str, errors.ErrorKind] = {"error": "failed", "insufficient_system_resource": "busy"}

KNOWN_MESSAGE_FIELDS = frozenset(
    {"role", "content", "refusal", "tool_calls", "function_call", "reasoning_content", "reasoning"}
)
_KNOWN_BODY_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "obfuscation"})
_KNOWN_USAGE_FIELDS = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})


def parse_completion(parsed: object) -> Answer:
    """Parse the body of a completion.

    Raises:
        ProviderError: it contains no answer.
    """
    match parsed:
        case {"choices": [{"message": dict(message), **choice}, *_], **body}:
            return _parse_message(message, choice.get("finish_reason"), body, parsed)
        case {"choices": _}:
            raise errors.ProviderError("empty", "no message")
        case _:
            raise errors.ProviderError("unreadable", "not a chat completion")


def _parse_message(message: dict[str, Any], reason: object, body: Mapping[Any, Any], raw: object) -> Answer:
    text, reasoning = extract_text(message)
    calls = parse_tool_calls(message.get("tool_calls"))
    if isinstance(reason, str) and reason in _FAILURES:
        raise errors.ProviderError(_FAILURES[reason], f"finish_reason {reason!r}", fallback_allowed=True)
    finish = responses.map_finish_reason(
        reason, _FINISHES, text=text, has_calls=bool(calls), logger=logger, field="finish_reason"
    )
    unknown = {
        "message": responses.unknown_fields(message, KNOWN_MESSAGE_FIELDS),
        "completion": responses.unknown_fields(body, _KNOWN_BODY_FIELDS),
        "usage": responses.unknown_fields(body.get("usage"), _KNOWN_USAGE_FIELDS),
    }
    extras = responses.provider_fields("openai", unknown)
    return Answer(text, reasoning or None, _parse_usage(body), raw, finish=finish, calls=calls, extras=extras)


def _parse_usage(body: Mapping[Any, Any]) -> Usage | None:
    match body:
        case {"usage": {"prompt_tokens": int(given), "completion_tokens": int(taken)}} if given >= 0 and taken >= 0:
            return Usage(input_tokens=int(given), output_tokens=int(taken))
        case _:
            return None


def extract_text(message: Mapping[str, object]) -> tuple[str, str]:
    """Return the text and the reasoning of a message or a delta."""
    text, reasoning = content_text(message.get("content"))
    if not text and isinstance(refusal := message.get("refusal"), str):
        text = refusal
    # Some providers send the reasoning under both names.
    for name in ("reasoning_content", "reasoning"):
        value = message.get(name)
        if value and isinstance(value, str):
            return text, value
    return text, reasoning


def content_text(content: object) -> tuple[str, str]:
    """Return the text and the reasoning in a ``content``, in each of the forms that providers have for it."""
    if isinstance(content, str):
        return content, ""
    text = ""
    reasoning = ""
    for part in content if isinstance(content, list) else ():
        match part:
            case {"thinking": str(thinking)}:
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


def parse_tool_calls(value: object) -> tuple[ToolCall, ...]:
    """Parse the ``tool_calls`` of a message.

    Raises:
        ProviderError: a call has no name.
    """
    calls = ToolCallAssembler()
    for index, call in enumerate(value if isinstance(value, list) else ()):
        if isinstance(call, dict):
            calls.feed({**call, "index": index})
    return calls.result()


@dataclass(slots=True)
class _PartialCall:
    index: int
    id: str
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class ToolCallAssembler:
    """Assembler of tool calls from the parts in a stream.

    Parts should have an ``index``, and the first one of each call its id and name. Providers differ: one sends the
    index 0 for every call, another none at all, a third repeats id and name in each part. So a part starts a new call
    if its index is new or its id differs; without both, if it has a name.
    """

    def __init__(self) -> None:
        self._calls: list[_PartialCall] = []
        self._by_index: dict[int, _PartialCall] = {}
        self._by_id: dict[str, _PartialCall] = {}

    def feed(self, part: Mapping[str, object]) -> str:
        """Add a part and return the text of it that is kept."""
        function = part.get("function")
        function = function if isinstance(function, dict) else {}
        id_ = responses.string_or_empty(part.get("id"))
        name = responses.string_or_empty(function.get("name"))
        arguments = function.get("arguments")
        if isinstance(arguments, dict):
            arguments = json.dumps(arguments, ensure_ascii=False)
        text = responses.string_or_empty(arguments)
        if kept := id_ + name + text:
            call = self._find(part.get("index"), id_, name)
            call.id = call.id or id_
            call.name = call.name or name
            call.arguments.append(text)
        return kept

    def result(self) -> tuple[ToolCall, ...]:
        """Return the calls in order of their indexes.

        Raises:
            ProviderError: a call has no name.
        """
        if not all(call.name for call in self._calls):
            raise errors.ProviderError("unreadable", "a tool call without a name")
        return tuple(
            # Clients answer by id and parse the arguments as JSON, so both are filled in where they are missing.
            ToolCall(call.id or f"call_{uuid.uuid4().hex[:24]}", call.name, "".join(call.arguments).strip() or "{}")
            for call in sorted(self._calls, key=lambda call: call.index)
        )

    def _find(self, index: object, id_: str, name: str) -> _PartialCall:
        number = index if isinstance(index, int) and not isinstance(index, bool) else None
        call: _PartialCall | None
        if number is not None:
            call = self._by_index.get(number)
        elif id_:
            call = self._by_id.get(id_)
        else:
            call = self._calls[-1] if self._calls else None
            if call is not None and name and call.name:
                call = None
        if call is None or (id_ and call.id and id_ != call.id):
            call = _PartialCall(max(self._by_index, default=-1) + 1 if number is None else number, id_)
            self._calls.append(call)
        self._by_index[call.index] = call
        if id_:
            self._by_id[id_] = call
        return call


_KIND_BY_CODE: Mapping[str, errors.ErrorKind] = {
    "invalid_api_key": "credentials",
    "insufficient_quota": "credit",
    "model_not_found": "model",
    "context_length_exceeded": "too_long",
    "content_filter": "filtered",
    "content_policy_violation": "filtered",
}


def parse_error(parsed: object) -> errors.ProviderErrorObject | None:
    """Return the error object in a response body or a chunk of a stream, or ``None``."""
    if not isinstance(parsed, dict):
        return None
    error = parsed.get("error") or (parsed if parsed.get("object") == "error" else None)
    match parsed.get("choices"):
        # Gateways report a provider's failure in the middle of an answer inside the choice.
        case [{"error": choice_error}, *_] if choice_error:
            error = choice_error
    if not error:
        return None
    if not isinstance(error, dict):
        return errors.ProviderErrorObject(message=responses.string_or_empty(error))
    code = error.get("code")
    kind = _KIND_BY_CODE.get(code) if isinstance(code, str) else None
    return errors.ProviderErrorObject(_error_status(code), kind, responses.string_or_empty(error.get("message")))


def _error_status(code: object) -> int:
    """Return the HTTP status in ``code``, where gateways put it."""
    if isinstance(code, str):
        code = 429 if code == "rate_limit_exceeded" else int(code) if re.fullmatch("[1-9][0-9]{2}", code) else None
    return code if isinstance(code, int) and 400 <= code <= 599 else 500


MAX_BODY_FIELDS = 32


class OpenAIStreamDecoder(base.StreamDecoder):
    """Decoder that rebuilds a whole completion from its chunks, and returns the deltas of each."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._calls = ToolCallAssembler()
        self._unknown_fields: dict[str, list[Any]] = {}  # of the message
        self._body: dict[str, Any] = {}
        self._finish_reason: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the finish reason was received."""
        return self.is_closed or self._finish_reason is not None

    def feed(self, event: Mapping[str, Any]) -> list[base.StreamDelta]:
        """Decode the next chunk."""
        for name, value in event.items():
            if value is not None and (name in self._body or len(self._body) < MAX_BODY_FIELDS):
                self._body[name] = value
        match event.get("choices"):
            case [dict() as choice, *_]:
                reason = choice.get("finish_reason")
                # Some providers send an empty one in every chunk.
                if reason and isinstance(reason, str):
                    self._finish_reason = reason
                delta = choice.get("delta")
                return self._feed_delta(delta) if isinstance(delta, dict) else []
            case _:
                return []

    def result(self) -> Answer:
        """Return the answer without the text and the reasoning, which ``feed`` returned."""
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in self._calls.result()
        ]
        content = {"content": "".join(self._texts), "reasoning_content": "".join(self._reasoning), "tool_calls": calls}
        unknown = {name: _joined(parts) for name, parts in self._unknown_fields.items()}
        message = {"role": "assistant", **unknown, **{name: value for name, value in content.items() if value}}
        choice = {"index": 0, "message": message, "finish_reason": self._finish_reason}
        body = {**self._body, "object": "chat.completion", "choices": [choice]}
        return replace(parse_completion(body), text="", reasoning=None)

    def _feed_delta(self, delta: Mapping[str, Any]) -> list[base.StreamDelta]:
        deltas = []
        text, reasoning = extract_text(delta)
        if reasoning:
            self._reasoning.append(reasoning)
            deltas.append(base.StreamDelta("reasoning", reasoning))
        if text:
            self._texts.append(text)
            deltas.append(base.StreamDelta("text", text))
        calls = delta.get("tool_calls")
        for part in calls if isinstance(calls, list) else ():
            if isinstance(part, dict) and (kept := self._calls.feed(part)):
                deltas.append(base.StreamDelta("rest", kept))
        for name in delta.keys() - KNOWN_MESSAGE_FIELDS:
            if (value := delta[name]) is not None:
                self._unknown_fields.setdefault(name, []).append(value)
                deltas.append(base.StreamDelta("rest", json.dumps(value)))
        return deltas


def _joined(values: list[Any]) -> Any:
    """Join the parts of an unknown field: texts and lists are concatenated, of others the last one counts."""
    if all(isinstance(value, str) for value in values):
        return "".join(values)
    if all(isinstance(value, list) for value in values):
        return list(chain.from_iterable(values))
    return values[-1]

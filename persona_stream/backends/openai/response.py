"""Responses of the Chat Completions API, whole or streamed: texts, tool calls, usage, unknown fields and errors.

Providers deviate from OpenAI in most of these; the comments name the deviations that are handled.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from persona_stream.backends.openai import tool_calls
from persona_stream.backends.providers import base, errors, responses
from persona_stream.core.query import Answer, Finish, Usage

logger = logging.getLogger("persona_stream.backends.openai")

REASONING_FIELDS = (
    "reasoning_content", "reasoning", "thinking", "reasoning_text", "thinking_content", "thought", "thoughts",
)  # fmt: skip
KNOWN_MESSAGE_FIELDS = frozenset({"role", "content", "refusal", "tool_calls", "function_call", *REASONING_FIELDS})
_PLAIN_FIELDS = frozenset({"role", "content"})
_KNOWN_CHOICE_FIELDS = frozenset({"index", "message", "delta", "finish_reason", "error", "tool_calls"})
_KNOWN_BODY_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "obfuscation"})
_KNOWN_USAGE_FIELDS = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})


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
    usage = body.get("usage")
    unknown = {
        "message": responses.unknown_fields(message, KNOWN_MESSAGE_FIELDS),
        "choice": responses.unknown_fields(choice, _KNOWN_CHOICE_FIELDS),
        "choices": {"others": others} if (others := body.get("choices")) else None,
        "completion": responses.unknown_fields(body, _KNOWN_BODY_FIELDS),
        "usage": responses.unknown_fields(usage, _KNOWN_USAGE_FIELDS),
    }
    extras = responses.provider_fields("openai", unknown)
    return Answer(text, reasoning or None, _parse_usage(usage), raw, finish=finish, calls=calls, extras=extras)


def _parse_usage(usage: object) -> Usage | None:
    match usage:
        case {"prompt_tokens": int(given), "completion_tokens": int(taken), **rest} if given >= 0 and taken >= 0:
            match rest:
                case {"completion_tokens_details": {"reasoning_tokens": int(reasoning)}} if reasoning >= 0:
                    return Usage(input_tokens=int(given), output_tokens=int(taken), reasoning_tokens=int(reasoning))
            return Usage(input_tokens=int(given), output_tokens=int(taken))
        case _:
            return None


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


MAX_BODY_FIELDS = 32
MAX_CHOICES = 128


class _PartialChoice:
    """Choice of a completion, rebuilt from its parts."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._reasoning: list[str] = []
        self._calls = tool_calls.ToolCallAssembler()
        self._function_call = tool_calls.ToolCallAssembler()  # as it was before there were tools
        self._message_fields: dict[str, list[Any]] = {}
        self._choice_fields: dict[str, list[Any]] = {}
        self.finish_reason: str | None = None

    def feed(self, choice: Mapping[str, Any]) -> list[base.StreamDelta]:
        """Add a part."""
        reason = choice.get("finish_reason")
        # Some providers send an empty one, or "null", in every chunk.
        if reason and responses.normalize_finish_reason(reason):
            self.finish_reason = reason
        deltas: list[base.StreamDelta] = []
        for name, value in choice.items():
            if value is not None and name not in _KNOWN_CHOICE_FIELDS:
                self._choice_fields.setdefault(name, []).append(value)
                deltas.append(base.StreamDelta("rest", json.dumps(value)))
        delta = choice.get("delta") or choice.get("message")
        if not isinstance(delta, dict):
            return deltas
        content = delta.get("content")
        if isinstance(content, str) and content and delta.keys() <= _PLAIN_FIELDS:  # most deltas of most streams
            self._texts.append(content)
            deltas.append(base.StreamDelta("text", content))
            return deltas
        text, reasoning = extract_text(delta)
        if reasoning:
            self._reasoning.append(reasoning)
            deltas.append(base.StreamDelta("reasoning", reasoning))
        if text:
            refuses = is_refusal(delta)
            # Marks the text, also the parts that follow, before the client receives it.
            fields = {"refusal": ""} if refuses and not self._refusals else None
            (self._refusals if refuses else self._texts).append(text)
            deltas.append(base.StreamDelta("text", text, fields))
        calls = tool_calls.to_list(delta.get("tool_calls") or choice.get("tool_calls"))
        for part in (*calls, *tool_calls.content_calls(delta)):
            if isinstance(part, dict) and (kept := self._calls.feed(part)):
                deltas.append(base.StreamDelta("rest", kept))
        function_call = {"index": 0, "function": delta.get("function_call")}
        if kept := self._function_call.feed(function_call):
            deltas.append(base.StreamDelta("rest", kept))
        for name, value in responses.unknown_fields(delta, KNOWN_MESSAGE_FIELDS).items():
            self._message_fields.setdefault(name, []).append(value)
            fields = {name: value} if value not in ([], {}, "") else None
            deltas.append(base.StreamDelta("rest", json.dumps(value), fields))
        return deltas

    def result(self) -> dict[str, Any]:
        """Return the choice."""
        content = {
            "content": "".join(self._texts),
            "refusal": "".join(self._refusals),
            "reasoning_content": "".join(self._reasoning),
            "tool_calls": [
                tool_calls.build_tool_call(call) for call in self._calls.result() or self._function_call.result()
            ],
        }
        unknown = {name: _joined(parts) for name, parts in self._message_fields.items()}
        message = {"role": "assistant", **unknown, **{name: value for name, value in content.items() if value}}
        fields = {name: _joined(parts) for name, parts in self._choice_fields.items()}
        return {"index": 0, "message": message, "finish_reason": self.finish_reason, **fields}


class OpenAIStreamDecoder(base.StreamDecoder):
    """Decoder that rebuilds a whole completion from its chunks, and returns the deltas of each.

    Args:
        choices: how many choices the client requested.
    """

    def __init__(self, choices: int = 1) -> None:
        self._requested = choices
        self._body: dict[str, Any] = {}
        self._choices: dict[int, _PartialChoice] = {}
        self._answer: _PartialChoice | None = None  # the first one that came

    @property
    def is_complete(self) -> bool:
        """Whether the finish reason was received, of all choices."""
        reasons = [choice.finish_reason for choice in self._choices.values()]
        return self.is_closed or (len(reasons) >= self._requested and None not in reasons)

    def feed(self, event: Mapping[str, Any]) -> list[base.StreamDelta]:
        """Decode the next chunk."""
        for name, value in event.items():
            if value is not None and (name in self._body or len(self._body) < MAX_BODY_FIELDS):
                self._body[name] = value
        deltas: list[base.StreamDelta] = []
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                index = tool_calls.valid_index(choice.get("index")) or 0
                partial = self._choices.get(index)
                if partial is None:
                    if len(self._choices) >= MAX_CHOICES:
                        continue
                    partial = self._choices[index] = _PartialChoice()
                    self._answer = self._answer or partial
                found = partial.feed(choice)
                is_answer = partial is self._answer
                deltas += found if is_answer else [base.StreamDelta("rest", delta.text) for delta in found]
        return deltas

    def result(self) -> Answer:
        """Return the answer without the text and the reasoning, which ``feed`` returned."""
        choices = [choice.result() | {"index": index} for index, choice in enumerate(self._choices.values())]
        body = {**self._body, "object": "chat.completion", "choices": choices}
        return replace(parse_completion(body, self._requested), text="", reasoning=None)


def _joined(values: list[Any]) -> Any:
    """Join the parts of an unknown field.

    Texts and lists are concatenated, and so are the lists in an object (``logprobs``); of others the last one counts.
    """
    if all(isinstance(value, str) for value in values):
        return "".join(values)
    if all(isinstance(value, list) for value in values):
        return _merge_details(list(chain.from_iterable(values)))
    if len(values) > 1 and all(isinstance(value, dict) and _has_list(value) for value in values):
        return {
            name: _joined([value[name] for value in values if value.get(name) is not None] or [None])
            for name in dict.fromkeys(chain.from_iterable(values))
        }
    return values[-1]


def _has_list(value: Mapping[str, Any]) -> bool:
    return any(isinstance(item, list) for item in value.values())


def _merge_details(items: list[Any]) -> list[Any]:
    """Join the texts of consecutive ``reasoning_details`` of one block, which providers require back as they were."""
    merged: list[Any] = []
    for item in items:
        match merged[-1:], item:
            case [[{"type": str(kind), "index": index} as last], {"type": str(other), "index": other_index}] if (
                kind.startswith("reasoning.") and (kind, index) == (other, other_index)
            ):
                texts = {
                    name: last[name] + item[name]
                    for name in ("text", "summary", "data")
                    if isinstance(last.get(name), str) and isinstance(item.get(name), str)
                }
                merged[-1] = {**last, **{k: v for k, v in item.items() if v is not None}, **texts}
            case _:
                merged.append(item)
    return merged

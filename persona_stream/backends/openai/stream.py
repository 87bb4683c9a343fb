"""Decoder of Chat Completions streams."""

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from persona_stream.backends.openai import tool_calls
from persona_stream.backends.openai.response import (
    KNOWN_CHOICE_FIELDS,
    KNOWN_MESSAGE_FIELDS,
    REASONING_FIELDS,
    extract_text,
    is_refusal,
    parse_completion,
)
from persona_stream.backends.providers import base, responses
from persona_stream.core.query import Answer

_PLAIN_FIELDS = frozenset({"role", "content"})
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
            if value is not None and name not in KNOWN_CHOICE_FIELDS:
                self._choice_fields.setdefault(name, []).append(value)
                deltas.append(base.StreamDelta("rest", json.dumps(value)))
        delta = choice.get("delta")
        if not delta and isinstance(message := choice.get("message"), dict):
            delta = self._new_part(message)
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
        function_call = delta.get("function_call")
        if function_call and (kept := self._function_call.feed({"index": 0, "function": function_call})):
            deltas.append(base.StreamDelta("rest", kept))
        for name, value in responses.unknown_fields(delta, KNOWN_MESSAGE_FIELDS).items():
            self._message_fields.setdefault(name, []).append(value)
            fields = {name: value} if value not in ([], {}, "") else None
            deltas.append(base.StreamDelta("rest", json.dumps(value), fields))
        return deltas

    def _new_part(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is new in a whole message: with one of the answer so far, some streams end."""
        text, reasoning = extract_text(message)
        new = {"content": _suffix(text, self._texts), "reasoning_content": _suffix(reasoning, self._reasoning)}
        others = {
            name: value
            for name, value in message.items()
            if name not in REASONING_FIELDS and name not in self._message_fields
        }
        return {**others, **new, **({"refusal": None} if self._refusals else {})}

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
                self._body[name] = self._merge_usage(value) if name == "usage" else value
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

    def _merge_usage(self, usage: Any) -> Any:
        """Return the usage so far with the counts of another chunk, which may be a part of them."""
        counted = self._body.get("usage")
        if not (isinstance(usage, dict) and isinstance(counted, dict)):
            return usage
        return counted | {name: count for name, count in usage.items() if count is not None}

    def result(self) -> Answer:
        """Return the answer without the text and the reasoning, which ``feed`` returned."""
        choices = [choice.result() | {"index": index} for index, choice in enumerate(self._choices.values())]
        body = {**self._body, "object": "chat.completion", "choices": choices}
        return replace(parse_completion(body, self._requested), text="", reasoning=None)


def _suffix(text: str, parts: list[str]) -> str:
    """Return what follows the parts in a text; nothing if it begins with another text."""
    sent = "".join(parts)
    return text[len(sent) :] if text.startswith(sent) else ""


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

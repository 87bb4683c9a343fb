"""Decoder of Chat Completions streams."""

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from persona_stream.backends.openai import response
from persona_stream.backends.openai.response import KNOWN_MESSAGE_FIELDS, extract_text
from persona_stream.backends.providers.base import StreamDecoder, StreamDelta
from persona_stream.core.query import Answer

MAX_BODY_FIELDS = 32


class OpenAIStreamDecoder(StreamDecoder):
    """Decoder that rebuilds a whole completion from its chunks, and returns the deltas of each."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._calls = response.ToolCallAssembler()
        self._unknown_fields: dict[str, list[Any]] = {}  # of the message
        self._body: dict[str, Any] = {}
        self._finish_reason: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the finish reason was received."""
        return self.is_closed or self._finish_reason is not None

    def feed(self, event: Mapping[str, Any]) -> list[StreamDelta]:
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
        return replace(response.parse_completion(body), text="", reasoning=None)

    def _feed_delta(self, delta: Mapping[str, Any]) -> list[StreamDelta]:
        deltas = []
        text, reasoning = extract_text(delta)
        if reasoning:
            self._reasoning.append(reasoning)
            deltas.append(StreamDelta("reasoning", reasoning))
        if text:
            self._texts.append(text)
            deltas.append(StreamDelta("text", text))
        calls = delta.get("tool_calls")
        for part in calls if isinstance(calls, list) else ():
            if isinstance(part, dict) and (kept := self._calls.feed(part)):
                deltas.append(StreamDelta("rest", kept))
        for name in delta.keys() - KNOWN_MESSAGE_FIELDS:
            if (value := delta[name]) is not None:
                self._unknown_fields.setdefault(name, []).append(value)
                deltas.append(StreamDelta("rest", json.dumps(value)))
        return deltas


def _joined(values: list[Any]) -> Any:
    """Join the parts of an unknown field: texts and lists are concatenated, of others the last one counts."""
    if all(isinstance(value, str) for value in values):
        return "".join(values)
    if all(isinstance(value, list) for value in values):
        return list(chain.from_iterable(values))
    return values[-1]

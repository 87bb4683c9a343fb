"""The chunks of a completion, read one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from persona_stream.backends.openai.response import OURS_IN_MESSAGE, ToolCallAssembler, extract_text, parse_completion
from persona_stream.backends.providers.base import StreamDelta
from persona_stream.core.query import Answer

_MOST_FIELDS = 32  # of a chunk, beside the choices


class OpenAIStreamDecoder:
    """Put a completion together, as it would have come in whole, and say what is new in each chunk."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls = ToolCallAssembler()
        self._others: dict[str, list[Any]] = {}  # of the message, in parts
        self._body: dict[str, Any] = {}
        self._reason: str | None = None
        self.is_over = False

    @property
    def is_complete(self) -> bool:
        return self.is_over or self._reason is not None

    def close(self) -> None:
        self.is_over = True

    def feed(self, event: Mapping[str, Any]) -> list[StreamDelta]:
        self._note(event)
        match event.get("choices"):
            case [dict() as choice, *_]:
                reason = choice.get("finish_reason")
                # Some have an empty one in every chunk.
                if reason and isinstance(reason, str):
                    self._reason = reason
                delta = choice.get("delta")
                return self._delta(delta) if isinstance(delta, dict) else []
            case _:
                return []

    def result(self) -> Answer:
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in self._calls.whole()
        ]
        said = {"content": "".join(self._texts), "reasoning_content": "".join(self._thoughts), "tool_calls": calls}
        others = {name: _joined(parts) for name, parts in self._others.items()}
        message = {"role": "assistant", **others, **{name: value for name, value in said.items() if value}}
        choice = {"index": 0, "message": message, "finish_reason": self._reason}
        body = {**self._body, "object": "chat.completion", "choices": [choice]}
        return replace(parse_completion(body), text="", reasoning=None)

    def _note(self, event: Mapping[str, Any]) -> None:
        body = self._body
        for name, value in event.items():
            if value is not None and (name in body or len(body) < _MOST_FIELDS):
                body[name] = value

    def _delta(self, delta: Mapping[str, Any]) -> list[StreamDelta]:
        said = []
        text, thought = extract_text(delta)
        if thought:
            self._thoughts.append(thought)
            said.append(StreamDelta("reasoning", thought))
        if text:
            self._texts.append(text)
            said.append(StreamDelta("text", text))
        calls = delta.get("tool_calls")
        for part in calls if isinstance(calls, list) else ():
            if isinstance(part, dict) and (kept := self._calls.feed(part)):
                said.append(StreamDelta("rest", kept))
        if not delta.keys() <= OURS_IN_MESSAGE:
            for name in delta.keys() - OURS_IN_MESSAGE:
                if (value := delta[name]) is not None:
                    self._others.setdefault(name, []).append(value)
                    said.append(StreamDelta("rest", json.dumps(value)))
        return said


def _joined(values: list[Any]) -> Any:
    """Give a field that we do not know, out of its parts: texts and lists are made to be put together."""
    if all(isinstance(value, str) for value in values):
        return "".join(values)
    if all(isinstance(value, list) for value in values):
        return list(chain.from_iterable(values))
    return values[-1]

"""The events of a message, read one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from persona_stream.backends.anthropic.response import parse_message
from persona_stream.backends.providers.base import StreamDelta
from persona_stream.backends.providers.errors import ProviderError
from persona_stream.backends.providers.responses import loads_lenient
from persona_stream.core.query import Answer

_MOST_FIELDS = 32  # of a message, beside its content


@dataclass(frozen=True, slots=True)
class _Block:
    begun: dict[str, Any]
    parts: list[str] = field(default_factory=list)

    def whole(self) -> dict[str, Any]:
        said = "".join(self.parts)
        match self.begun.get("type"):
            case "text" | "thinking" as kind:
                return {**self.begun, kind: said}
            case _ if not said:
                return self.begun
            case "tool_use":
                return {**self.begun, "input": said}
            case _:
                return {**self.begun, "input": loads_lenient(said) or said}


class AnthropicStreamDecoder:
    """Put a message together, as it would have come in whole, and say what is new in each event."""

    def __init__(self) -> None:
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: list[_Block] = []
        self._open: dict[object, _Block] = {}
        self.is_over = False

    @property
    def is_complete(self) -> bool:
        return self.is_over or self._message.get("stop_reason") is not None

    def close(self) -> None:
        self.is_over = True

    def feed(self, event: Mapping[str, Any]) -> list[StreamDelta]:
        match event:
            case {"type": "content_block_delta", "delta": dict() as delta}:
                return self._delta(event.get("index"), delta)
            case {"type": "content_block_start", "content_block": dict() as block}:
                return self._begin(event.get("index"), block)
            case {"type": "message_start", "message": dict() as message}:
                self._note(message, message.get("usage"))
            case {"type": "message_delta", "delta": dict() as delta}:
                self._note(delta, event.get("usage"))
            case {"type": "message_stop"}:
                self.is_over = True
        return []

    def result(self) -> Answer:
        content = [block.whole() for block in self._blocks]
        message = {"type": "message", **self._message, "content": content, "usage": self._usage}
        return replace(parse_message(message), text="", reasoning=None)

    def _note(self, fields: Mapping[str, Any], usage: object) -> None:
        _keep(self._message, {name: value for name, value in fields.items() if name not in ("content", "usage")})
        if isinstance(usage, dict):
            # Counts are those of the whole answer so far, and some say at the end only what has changed.
            _keep(self._usage, usage)

    def _begin(self, index: object, block: dict[str, Any]) -> list[StreamDelta]:
        begun = self._open[_place(index)] = _Block(block)
        self._blocks.append(begun)
        kind = block.get("type")
        if kind not in ("text", "thinking"):
            return [StreamDelta("rest", json.dumps(block))]
        said = block.get(kind)
        if not (isinstance(said, str) and said):
            return [StreamDelta("rest", kind)]
        begun.parts.append(said)
        return [StreamDelta("text" if kind == "text" else "reasoning", said)]

    def _delta(self, index: object, delta: Mapping[str, Any]) -> list[StreamDelta]:
        match delta:
            case {"type": "text_delta", "text": str() as said} if said:
                self._block(index, "text").parts.append(said)
                return [StreamDelta("text", said)]
            case {"type": "thinking_delta", "thinking": str() as said} if said:
                self._block(index, "thinking").parts.append(said)
                return [StreamDelta("reasoning", said)]
            case {"type": "input_json_delta", "partial_json": str() as said} if said:
                self._block(index, None).parts.append(said)
                return [StreamDelta("rest", said)]
            case _:
                return []

    def _block(self, index: object, kind: str | None) -> _Block:
        """Find the block that a part belongs to; of a text it is clear what it is, also where nobody began it."""
        block = self._open.get(_place(index))
        if kind is None:
            if block is None:
                raise ProviderError("unreadable", "a part of a block that was not begun")
            return block
        if block is None or block.begun.get("type") != kind:
            self._begin(index, {"type": kind})
            block = self._blocks[-1]
        return block


def _keep(kept: dict[str, Any], fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if value is not None and (name in kept or len(kept) < _MOST_FIELDS):
            kept[name] = value


def _place(index: object) -> object:
    return index if isinstance(index, int) else None

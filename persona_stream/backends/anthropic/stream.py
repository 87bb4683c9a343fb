"""Decoder of Messages API streams."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from persona_stream.backends.anthropic import response
from persona_stream.backends.providers import base, errors, responses
from persona_stream.core.query import Answer

MAX_MESSAGE_FIELDS = 32


@dataclass(frozen=True, slots=True)
class _Block:
    """Content block: its first event, and the parts that followed."""

    start: dict[str, Any]
    parts: list[str] = field(default_factory=list)
    signature: list[str] = field(default_factory=list)

    def result(self) -> dict[str, Any]:
        text = "".join(self.parts)
        match self.start.get("type"):
            case "thinking" if self.signature:
                return {**self.start, "thinking": text, "signature": "".join(self.signature)}
            case "text" | "thinking" as kind:
                return {**self.start, kind: text}
            case _ if not text:
                return self.start
            case "tool_use":
                return {**self.start, "input": text}
            case _:
                return {**self.start, "input": responses.loads_lenient(text) or text}


class AnthropicStreamDecoder(base.StreamDecoder):
    """Decoder that rebuilds a whole message from its events, and returns the deltas of each."""

    def __init__(self, choices: int = 1) -> None:
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: list[_Block] = []
        self._by_index: dict[object, _Block] = {}

    @property
    def is_complete(self) -> bool:
        """Whether the finish reason was received."""
        reason = self._message.get("stop_reason")
        return self.is_closed or bool(responses.normalize_finish_reason(reason))

    def feed(self, event: Mapping[str, Any]) -> list[base.StreamDelta]:
        """Decode the next event."""
        match event:
            case {"type": "content_block_delta", "delta": dict() as delta}:
                return self._feed_delta(event.get("index"), delta)
            case {"type": "content_block_start", "content_block": dict() as block}:
                return self._start_block(event.get("index"), block)
            case {"type": "message_start", "message": dict() as message}:
                self._update(message, message.get("usage"))
            case {"type": "message_delta", "delta": dict() as delta}:
                self._update(delta, event.get("usage"))
            case {"type": "message_stop"}:
                self.is_closed = True
        return []

    def result(self) -> Answer:
        """Return the answer without the text and the reasoning, which ``feed`` returned."""
        content = [block.result() for block in self._blocks]
        message = {"type": "message", **self._message, "content": content, "usage": self._usage}
        return replace(response.parse_message(message), text="", reasoning=None)

    def _update(self, fields: Mapping[str, Any], usage: object) -> None:
        _merge(self._message, {name: value for name, value in fields.items() if name not in ("content", "usage")})
        if isinstance(usage, dict):
            # Counts are cumulative, and at the end some providers repeat changed ones only.
            _merge(self._usage, usage)

    def _start_block(self, index: object, block: dict[str, Any]) -> list[base.StreamDelta]:
        started = _Block(block)
        self._by_index[_valid_index(index)] = started
        self._blocks.append(started)
        kind = block.get("type")
        if kind not in ("text", "thinking"):
            return [base.StreamDelta("rest", json.dumps(block))]
        text = block.get(kind)
        if not (isinstance(text, str) and text):
            return [base.StreamDelta("rest", kind)]
        started.parts.append(text)
        return [base.StreamDelta("text" if kind == "text" else "reasoning", text)]

    def _feed_delta(self, index: object, delta: Mapping[str, Any]) -> list[base.StreamDelta]:
        match delta:
            case {"type": "text_delta", "text": str() as text} if text:
                self._find_block(index, "text").parts.append(text)
                return [base.StreamDelta("text", text)]
            case {"type": "thinking_delta", "thinking": str() as text} if text:
                self._find_block(index, "thinking").parts.append(text)
                return [base.StreamDelta("reasoning", text)]
            case {"type": "signature_delta", "signature": str() as text} if text:
                self._find_block(index, "thinking").signature.append(text)
                return [base.StreamDelta("rest", text)]
            case {"type": "input_json_delta", "partial_json": str() as text} if text:
                self._find_block(index, None).parts.append(text)
                return [base.StreamDelta("rest", text)]
            case _:
                return []

    def _find_block(self, index: object, kind: str | None) -> _Block:
        """Return the block that a part belongs to; text and thinking blocks are created if their start is missing."""
        block = self._by_index.get(_valid_index(index))
        if kind is None:
            if block is None:
                raise errors.ProviderError("unreadable", "a delta for a block that was not started")
            return block
        if block is None or block.start.get("type") != kind:
            self._start_block(index, {"type": kind})
            block = self._blocks[-1]
        return block


def _merge(target: dict[str, Any], fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if value is not None and (name in target or len(target) < MAX_MESSAGE_FIELDS):
            target[name] = value


def _valid_index(index: object) -> object:
    return index if isinstance(index, int) else None

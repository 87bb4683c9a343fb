"""Responses of the Messages API, whole or streamed: texts, tool calls, usage, unknown fields and errors."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from msgspec import UNSET

from persona_stream.backends.providers import base, errors, responses
from persona_stream.core.content import ProviderFields, ToolCall
from persona_stream.core.query import Answer, Usage

logger = logging.getLogger("persona_stream.backends.anthropic")

_KNOWN_MESSAGE_FIELDS = frozenset({"id", "type", "role", "model", "content", "usage"})
_KNOWN_USAGE_FIELDS = frozenset({"input_tokens", "output_tokens"})


def parse_message(parsed: object, choices: int = 1) -> Answer:
    """Parse a message, which is always one choice.

    Raises:
        ProviderError: it contains no answer.
    """
    match parsed:
        case {"content": str(text), **message}:
            return _parse_content([{"type": "text", "text": text}], message, parsed)
        case {"content": list(blocks), **message}:
            return _parse_content(blocks, message, parsed)
        case {"type": "message"}:
            raise errors.ProviderError("empty", "no content")
        case _:
            raise errors.ProviderError("unreadable", "not a message")


def _parse_content(blocks: list[Any], message: Mapping[Any, Any], raw: object) -> Answer:
    text = ""
    reasoning = ""
    calls: list[ToolCall] = []
    unknown_blocks: list[Any] = []
    thinking: list[tuple[int, str]] = []
    for block in blocks:
        match block:
            case {"type": "text", **rest}:
                text += responses.string_or_empty(rest.get("text"))
            case {"type": "thinking", **rest}:
                thought = responses.string_or_empty(rest.get("thinking"))
                reasoning += thought
                thinking.append((len(thought), responses.string_or_empty(rest.get("signature"))))
            case {"type": "tool_use", "id": str(id_), "name": str(name), **rest}:
                fields = responses.unknown_fields(rest, frozenset({"input"}))
                extras = ProviderFields("anthropic", fields) if fields else UNSET
                calls.append(ToolCall(id_, name, dump_tool_input(rest.get("input")), extras))
            case {"type": "tool_use"}:
                raise errors.ProviderError("unreadable", "a tool call without an id or a name")
            case dict():
                unknown_blocks.append(block)
    reason = message.get("stop_reason")
    finish = responses.map_finish_reason(reason, text=text, has_calls=bool(calls), logger=logger, field="stop_reason")
    usage = message.get("usage")
    unknown = {
        "message": responses.unknown_fields(message, _KNOWN_MESSAGE_FIELDS),
        "content": unknown_blocks,
        "thinking": thinking if any(signature for _, signature in thinking) else None,
        "usage": responses.unknown_fields(usage, _KNOWN_USAGE_FIELDS),
    }
    more = responses.provider_fields("anthropic", unknown)
    return Answer(text, reasoning or None, _parse_usage(usage), raw, finish=finish, calls=tuple(calls), extras=more)


def _parse_usage(usage: object) -> Usage | None:
    """Parse the usage. Tokens read from or written to a cache are not included in ``input_tokens``, so add them."""
    if not isinstance(usage, dict):
        return None
    input_tokens = _count(usage.get("input_tokens"))
    output_tokens = _count(usage.get("output_tokens"))
    if input_tokens is None or output_tokens is None:
        return None
    cached = (usage.get("cache_creation_input_tokens"), usage.get("cache_read_input_tokens"))
    details = usage.get("output_tokens_details")
    thinking = _count(details.get("thinking_tokens")) if isinstance(details, dict) else None
    return Usage(
        input_tokens=input_tokens + sum(_count(tokens) or 0 for tokens in cached),
        output_tokens=output_tokens,
        reasoning_tokens=UNSET if thinking is None else thinking,
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def parse_tool_input(arguments: str) -> dict[str, object]:
    """Parse the arguments of a call, which are an object in this API and elsewhere JSON as the model wrote it.

    Invalid JSON, from a careless model or one that reached its token limit, becomes the single argument ``arguments``,
    so that the conversation can continue and the model sees its mistake.
    """
    parsed = responses.loads_lenient(arguments)
    if isinstance(parsed, dict):
        return parsed
    return {"arguments": arguments} if arguments.strip() else {}


def dump_tool_input(value: object) -> str:
    """Serialize the ``input`` of a call; a string was assembled from a stream, and is JSON already."""
    if isinstance(value, str):
        return value.strip() or "{}"
    return "{}" if value is None else json.dumps(value, ensure_ascii=False)


def parse_error(parsed: object) -> errors.ProviderErrorObject | None:
    """Return the error object in a response body or an event of a stream, or ``None``."""
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]
    if not isinstance(parsed, dict):
        return None
    if found := errors.parse_body_error(parsed, "type"):
        return found
    return None if "content" in parsed or "type" in parsed else errors.parse_bare_error(parsed)


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
        return replace(parse_message(message), text="", reasoning=None)

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

"""Decoder of Responses API streams."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from persona_stream.backends.openai_responses import response
from persona_stream.backends.providers import base
from persona_stream.core.query import Answer

_REASONING_DELTAS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
_ENDINGS = ("response.completed", "response.incomplete")


class ResponsesStreamDecoder(base.StreamDecoder):
    """Decoder that rebuilds a whole response from its events, and returns the deltas of each.

    The last event has the whole response, but some providers leave its output empty; what their items have that no
    delta had is returned when the item is done.
    """

    def __init__(self, choices: int = 1) -> None:
        self._items: dict[int, dict[str, Any]] = {}
        self._response: dict[str, Any] = {}
        self._has_deltas: set[tuple[int, bool]] = set()  # output indexes, and whether of the reasoning
        self._reasoning_part: tuple[int, object] | None = None  # of the last reasoning

    @property
    def is_complete(self) -> bool:
        """Whether the last event was received."""
        return self.is_closed

    def feed(self, event: Mapping[str, Any]) -> list[base.StreamDelta]:
        """Decode the next event."""
        kind = event.get("type")
        index = event.get("output_index")
        index = index if isinstance(index, int) else 0
        match event:
            case {"type": "response.output_text.delta" | "response.refusal.delta", "delta": str(text)} if text:
                self._has_deltas.add((index, False))
                return [base.StreamDelta("text", text)]
            case {"delta": str(text)} if kind in _REASONING_DELTAS and text:
                self._has_deltas.add((index, True))
                return [self._reasoning(text, (index, event.get("summary_index", event.get("content_index"))))]
            case {"type": "response.output_item.done", "item": dict(item)}:
                return self._end_item(index, item)
            case {"response": dict(found)} if kind in _ENDINGS:
                self._response = found
                self.is_closed = True
        return []

    def result(self) -> Answer:
        """Return the answer without the text and the reasoning, which ``feed`` returned."""
        items = [item for _, item in sorted(self._items.items())]
        whole = {**self._response, "output": items or self._response.get("output")}
        return replace(response.parse_completion(whole), text="", reasoning=None)

    def _end_item(self, index: int, item: dict[str, Any]) -> list[base.StreamDelta]:
        self._items[index] = item
        deltas: list[base.StreamDelta] = []
        if (index, False) not in self._has_deltas:
            texts = (response.part_text(part) for part in response.message_parts(item))
            deltas += [base.StreamDelta("text", text) for text in texts if text]
        if (index, True) not in self._has_deltas:
            parts = enumerate(response.reasoning_parts(item))
            deltas += [self._reasoning(text, (index, part)) for part, text in parts]
        if item.get("type") == "function_call":
            deltas.append(base.StreamDelta("rest", json.dumps(item)))
        return deltas

    def _reasoning(self, text: str, part: tuple[int, object]) -> base.StreamDelta:
        """Return a delta of the reasoning, whose parts are paragraphs."""
        is_next = self._reasoning_part not in (None, part)
        self._reasoning_part = part
        return base.StreamDelta("reasoning", response.PARAGRAPH + text if is_next else text)

"""Anthropic's dialect, as one who asks speaks it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from persona_stream.backends.anthropic.answers import answer_of
from persona_stream.backends.anthropic.errors import fault_in
from persona_stream.backends.anthropic.payload import body_of
from persona_stream.backends.anthropic.stream import Stream
from persona_stream.backends.providers import Fault, Reading
from persona_stream.core.query import Answer, Query


@dataclass(frozen=True, slots=True)
class Anthropic:
    """Ask for one model.

    Attributes:
        max_tokens: how long an answer may be, where the client does not say it.
    """

    model: str
    max_tokens: int

    name: ClassVar = "anthropic"
    # 529 says that all of Anthropic is too busy at the moment.
    passing: ClassVar = frozenset({429, 502, 503, 504, 529})

    def body(self, query: Query, *, stream: bool) -> dict[str, object]:
        return body_of(query, self.model, self.max_tokens, stream=stream)

    def fault(self, parsed: object) -> Fault | None:
        return fault_in(parsed)

    def answer(self, parsed: object) -> Answer:
        return answer_of(parsed)

    def reading(self) -> Reading:
        return Stream()

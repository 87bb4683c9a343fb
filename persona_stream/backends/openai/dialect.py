"""OpenAI's dialect, as one who asks speaks it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from persona_stream.backends.openai.answers import answer_of
from persona_stream.backends.openai.errors import fault_in
from persona_stream.backends.openai.payload import body_of
from persona_stream.backends.openai.stream import Stream
from persona_stream.backends.providers import Fault, Reading
from persona_stream.core.query import Answer, Query


@dataclass(frozen=True, slots=True)
class OpenAI:
    """Ask for one model."""

    model: str

    name: ClassVar = "openai"
    passing: ClassVar = frozenset({429, 502, 503, 504})

    def body(self, query: Query, *, stream: bool) -> dict[str, object]:
        return body_of(query, self.model, stream=stream)

    def fault(self, parsed: object) -> Fault | None:
        return fault_in(parsed)

    def answer(self, parsed: object) -> Answer:
        return answer_of(parsed)

    def reading(self) -> Reading:
        return Stream()

"""Providers of models: what all those that are asked over HTTP have in common.

A dialect says how one kind of provider is spoken to, and does no I/O. What is left is the same for all: the wire, the
time and the size of a reply, when to ask again, and what a client is told when there is no answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from msgspec import Struct

from persona_stream.backends.providers.errors import ErrorKind
from persona_stream.core.query import Answer, Query


@dataclass(frozen=True, slots=True)
class ErrorObject:
    """Hold what an error object says.

    Attributes:
        status: the HTTP status that it stands for, where the reply's own says that all is well.
        kind: what its code means, where that is more than its status says.
        message: its text, or an empty one.
    """

    status: int = 500
    kind: ErrorKind | None = None
    message: str = ""


class StreamDelta(Struct, frozen=True):
    """Hold what an event of a stream brings.

    Attributes:
        kind: whether it belongs to the answer, to the reasoning, or to what is told only when it is whole.
        text: what is said, or of the last kind, as much as is kept for it. Never empty.
    """

    kind: Literal["text", "reasoning", "rest"]
    text: str


class StreamDecoder(Protocol):
    """Read one stream."""

    @property
    def is_complete(self) -> bool:
        """Whether the stream said why the answer ends: one that breaks off now has lost nothing of it."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the stream said that nothing more comes."""
        ...

    def feed(self, event: Mapping[str, Any]) -> Iterable[StreamDelta]:
        """Take the next event, and give what it brings.

        Raises:
            Trouble: it cannot be understood.
        """
        ...

    def close(self) -> None:
        """Hear that nothing more comes, from a mark that is no event: ``[DONE]``."""
        ...

    def result(self) -> Answer:
        """Give what was not said yet, when the stream has ended.

        Raises:
            Trouble: all in all, it was no answer.
        """
        ...


class ProviderAdapter(Protocol):
    """Speak with one kind of provider."""

    @property
    def name(self) -> str: ...

    @property
    def retryable_statuses(self) -> frozenset[int]:
        """The statuses of refusals that time may mend."""
        ...

    def build_request(self, query: Query, *, stream: bool) -> Mapping[str, object]:
        """Give a query as the body of a request."""
        ...

    def parse_error(self, parsed: object) -> ErrorObject | None:
        """Find an error object in a body, or in an event of a stream."""
        ...

    def parse_completion(self, parsed: object) -> Answer:
        """Give the answer in a body.

        Raises:
            Trouble: there is none in it.
        """
        ...

    def stream_decoder(self) -> StreamDecoder:
        """Begin to read a stream."""
        ...

"""Interfaces between the provider client and the API formats.

A ``ProviderAdapter`` translates for one API format (OpenAI, Anthropic) and does no I/O. Transport, deadlines, size
limits, retries and error texts are common to all providers, and live in the other modules of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from msgspec import Struct

from persona_stream.backends.providers.errors import ErrorKind
from persona_stream.core.query import Answer, Query


@dataclass(frozen=True, slots=True)
class ErrorObject:
    """Error object of a response or a stream.

    Attributes:
        status: the HTTP status that it stands for, where the response itself has a status of success.
        kind: the meaning of its code, where that is more specific than the status.
        message: its text; may be empty.
    """

    status: int = 500
    kind: ErrorKind | None = None
    message: str = ""


class StreamDelta(Struct, frozen=True):
    """Content of one event of a stream.

    Attributes:
        kind: ``text`` and ``reasoning`` are forwarded at once; ``rest`` is kept until the stream ends (tool calls,
            unknown fields).
        text: the text, or for ``rest`` as many characters as are kept. Never empty.
    """

    kind: Literal["text", "reasoning", "rest"]
    text: str


class BuildRequest(Protocol):
    """Function that builds the JSON body of a request."""

    def __call__(self, query: Query, *, stream: bool) -> Mapping[str, object]:
        """Return the body for a query; ``stream`` requests a stream."""
        ...


class StreamDecoder(Protocol):
    """Decoder of one stream of events."""

    @property
    def is_complete(self) -> bool:
        """Whether the finish reason was received: losing the connection now loses nothing of the answer."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether the end of the stream was received."""
        ...

    def feed(self, event: Mapping[str, Any]) -> Iterable[StreamDelta]:
        """Decode the next event.

        Raises:
            ProviderError: the event cannot be parsed.
        """
        ...

    def close(self) -> None:
        """Record the end of the stream, marked by ``[DONE]``, which is no event."""
        ...

    def result(self) -> Answer:
        """Return the rest of the answer after the end of the stream: everything but the text and reasoning.

        Raises:
            ProviderError: the stream contained no answer.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderAdapter:
    """Translation between queries and one API format, as pure functions.

    Attributes:
        name: name of the format, in the log and in upstream calls.
        retryable_statuses: the HTTP statuses after which another attempt may succeed.
        build_request: builds the JSON body of a request.
        parse_error: returns the error object in a response body or a stream event, or ``None``.
        parse_completion: parses a response body; raises ``ProviderError`` if it contains no answer.
        stream_decoder: creates a decoder for one stream.
    """

    name: str
    retryable_statuses: frozenset[int]
    build_request: BuildRequest
    parse_error: Callable[[object], ErrorObject | None]
    parse_completion: Callable[[object], Answer]
    stream_decoder: Callable[[], StreamDecoder]

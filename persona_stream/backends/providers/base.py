"""Interfaces between the provider client and the API formats.

A ``ProviderAdapter`` translates for one API format (OpenAI, Anthropic) and does no I/O. Transport, deadlines, size
limits, retries and error texts are common to all providers, and live in the other modules of this package.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from msgspec import Struct

from persona_stream.backends.base import Capability
from persona_stream.backends.providers.errors import ProviderErrorObject
from persona_stream.core.query import Answer, Query


class StreamDelta(Struct, frozen=True):
    """Content of one event of a stream.

    Attributes:
        kind: ``text`` and ``reasoning`` are forwarded at once; ``rest`` is kept until the stream ends (tool calls,
            unknown fields).
        text: the text, or for ``rest`` as many characters as are kept. Never empty.
        fields: unknown fields, which are forwarded at once to clients with the provider's protocol.
    """

    kind: Literal["text", "reasoning", "rest"]
    text: str
    fields: Mapping[str, Any] | None = None


class BuildRequest(Protocol):
    """Function that builds the JSON body of a request."""

    def __call__(self, query: Query, model: str, *, stream: bool) -> Mapping[str, object]:
        """Return the body for a query to a model; ``stream`` requests a stream."""
        ...


class StreamDecoder(Protocol):
    """Decoder of one stream of events. Subclass it to inherit the record of its end.

    Attributes:
        is_closed: whether the end of the stream was received.
    """

    is_closed: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether the finish reason was received: losing the connection now loses nothing of the answer."""
        ...

    def feed(self, event: Mapping[str, Any]) -> Iterable[StreamDelta]:
        """Decode the next event.

        Raises:
            ProviderError: the event cannot be parsed.
        """
        ...

    def close(self) -> None:
        """Record the end of the stream, marked by ``[DONE]``, which is no event."""
        self.is_closed = True

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
        name: name of the format, in the settings, in the log and in upstream calls.
        example_url: a valid base URL, for error texts.
        endpoint: returns the address of requests for a base URL without a trailing slash.
        headers: returns the headers of every request for an API key, which may be empty.
        capabilities: the capabilities of the backend.
        retryable_statuses: the HTTP statuses after which another attempt may succeed.
        build_request: builds the JSON body of a request.
        parse_error: returns the error object in a response body or a stream event, or ``None``.
        parse_completion: parses a response body, for the number of choices that the client requested; raises
            ``ProviderError`` if it contains no answer.
        stream_decoder: creates a decoder for one stream, for that number of choices.
        required_fields: the fields that every request must have.
    """

    name: str
    example_url: str
    endpoint: Callable[[str], str]
    headers: Callable[[str], Mapping[str, str]]
    capabilities: frozenset[Capability]
    retryable_statuses: frozenset[int]
    build_request: BuildRequest
    parse_error: Callable[[object], ProviderErrorObject | None]
    parse_completion: Callable[[object, int], Answer]
    stream_decoder: Callable[[int], StreamDecoder]
    required_fields: frozenset[str] = frozenset()

"""Any provider that speaks Anthropic's ``/v1/messages``.

Anthropic's dialect, as one who asks speaks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Unpack

from persona_stream.backends.anthropic.request import build_request
from persona_stream.backends.anthropic.response import parse_error, parse_message
from persona_stream.backends.anthropic.stream import AnthropicStreamDecoder
from persona_stream.backends.base import Backend
from persona_stream.backends.providers.base import ErrorObject, StreamDecoder
from persona_stream.backends.providers.factory import (
    ClientOptions,
    endpoint_url,
    make_provider_backend,
    require_api_key,
    require_model,
)
from persona_stream.core.query import Answer, Query


@dataclass(frozen=True, slots=True)
class AnthropicAdapter:
    """Ask for one model.

    Attributes:
        max_tokens: how long an answer may be, where the client does not say it.
    """

    model: str
    max_tokens: int

    name: ClassVar = "anthropic"
    # 529 says that all of Anthropic is too busy at the moment.
    retryable_statuses: ClassVar = frozenset({429, 502, 503, 504, 529})

    def build_request(self, query: Query, *, stream: bool) -> dict[str, object]:
        return build_request(query, self.model, self.max_tokens, stream=stream)

    def parse_error(self, parsed: object) -> ErrorObject | None:
        return parse_error(parsed)

    def parse_completion(self, parsed: object) -> Answer:
        return parse_message(parsed)

    def stream_decoder(self) -> StreamDecoder:
        return AnthropicStreamDecoder()


__all__ = ["anthropic_backend"]

_NAME = "anthropic"
_VERSION = "2023-06-01"


def anthropic_backend(
    *,
    base_url: str | None,
    api_key: str | None,
    model: str | None,
    max_tokens: int = 4096,
    stream: bool = False,
    **means: Unpack[ClientOptions],
) -> Backend:
    """Make a backend of a provider.

    Args:
        base_url: its address, with or without ``/v1``.
        api_key: its key; a provider on one's own machine may need none.
        model: the model to ask for.
        max_tokens: how long an answer may be, where the client does not say it.
        stream: whether to take its answers as streams.
        **means: what ``Means`` has.

    Raises:
        ConfigurationError: a setting is missing, or none that a provider can be reached with.
    """
    address = endpoint_url(base_url, _NAME, "https://api.anthropic.com")
    model = require_model(model, _NAME)
    key = require_api_key(api_key, _NAME)
    return make_provider_backend(
        AnthropicAdapter(model, max_tokens),
        model=model,
        url=address.removesuffix("/messages").removesuffix("/v1") + "/v1/messages",
        headers={"anthropic-version": _VERSION} | ({"x-api-key": key} if key else {}),
        secret=key,
        stream=stream,
        abilities=("tools", "images", "prefill", "json_schema"),
        means=means,
    )

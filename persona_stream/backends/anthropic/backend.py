"""Backend for any provider with Anthropic's Messages API (``/v1/messages``)."""

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

_NAME = "anthropic"
_VERSION = "2023-06-01"


@dataclass(frozen=True, slots=True)
class AnthropicAdapter:
    """Adapter for the Messages API, for one model.

    Attributes:
        max_tokens: maximum length of an answer, where the client sets none.
    """

    model: str
    max_tokens: int

    name: ClassVar = _NAME
    # 529 is Anthropic's "overloaded_error".
    retryable_statuses: ClassVar = frozenset({429, 502, 503, 504, 529})

    def build_request(self, query: Query, *, stream: bool) -> dict[str, object]:
        return build_request(query, self.model, self.max_tokens, stream=stream)

    def parse_error(self, parsed: object) -> ErrorObject | None:
        return parse_error(parsed)

    def parse_completion(self, parsed: object) -> Answer:
        return parse_message(parsed)

    def stream_decoder(self) -> StreamDecoder:
        return AnthropicStreamDecoder()


def anthropic_backend(
    *,
    base_url: str | None,
    api_key: str | None,
    model: str | None,
    max_tokens: int = 4096,
    stream: bool = False,
    **options: Unpack[ClientOptions],
) -> Backend:
    """Create a backend for a provider.

    Args:
        base_url: the provider's base URL, with or without ``/v1``.
        api_key: the API key; a provider on the same machine may need none.
        model: the model to request.
        max_tokens: maximum length of an answer, where the client sets none.
        stream: whether to request streams.
        **options: the fields of ``ClientOptions``.

    Raises:
        ConfigurationError: a setting is missing or invalid.
    """
    address = endpoint_url(base_url, _NAME, "https://api.anthropic.com")
    model = require_model(model, _NAME)
    key = require_api_key(api_key, _NAME)
    return make_provider_backend(
        AnthropicAdapter(model, max_tokens),
        model=model,
        url=address.removesuffix("/messages").removesuffix("/v1") + "/v1/messages",
        headers={"anthropic-version": _VERSION} | ({"x-api-key": key} if key else {}),
        api_key=key,
        stream=stream,
        capabilities=("tools", "images", "prefill", "json_schema"),
        options=options,
    )

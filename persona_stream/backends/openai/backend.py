"""Backend for any provider with OpenAI's Chat Completions API (``/chat/completions``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Unpack

from persona_stream.backends.base import Backend
from persona_stream.backends.openai.request import build_request
from persona_stream.backends.openai.response import parse_completion, parse_error
from persona_stream.backends.openai.stream import OpenAIStreamDecoder
from persona_stream.backends.providers.base import ErrorObject, StreamDecoder
from persona_stream.backends.providers.factory import (
    ClientOptions,
    endpoint_url,
    make_provider_backend,
    require_api_key,
    require_model,
)
from persona_stream.core.query import Answer, Query

_NAME = "openai"
_ENDPOINT = "/chat/completions"


@dataclass(frozen=True, slots=True)
class OpenAIAdapter:
    """Adapter for the Chat Completions API, for one model."""

    model: str

    name: ClassVar = _NAME
    retryable_statuses: ClassVar = frozenset({429, 502, 503, 504})

    def build_request(self, query: Query, *, stream: bool) -> dict[str, object]:
        return build_request(query, self.model, stream=stream)

    def parse_error(self, parsed: object) -> ErrorObject | None:
        return parse_error(parsed)

    def parse_completion(self, parsed: object) -> Answer:
        return parse_completion(parsed)

    def stream_decoder(self) -> StreamDecoder:
        return OpenAIStreamDecoder()


def openai_backend(
    *,
    base_url: str | None,
    api_key: str | None,
    model: str | None,
    stream: bool = False,
    **options: Unpack[ClientOptions],
) -> Backend:
    """Create a backend for a provider.

    Args:
        base_url: the provider's base URL, up to and including ``/v1``.
        api_key: the API key; a provider on the same machine may need none.
        model: the model to request.
        stream: whether to request streams.
        **options: the fields of ``ClientOptions``.

    Raises:
        ConfigurationError: a setting is missing or invalid.
    """
    address = endpoint_url(base_url, _NAME, "https://api.openai.com/v1")
    model = require_model(model, _NAME)
    key = require_api_key(api_key, _NAME)
    return make_provider_backend(
        OpenAIAdapter(model),
        model=model,
        url=address.removesuffix(_ENDPOINT) + _ENDPOINT,
        headers={"Authorization": f"Bearer {key}"} if key else {},
        api_key=key,
        stream=stream,
        capabilities=("tools", "images", "prefill", "response_format", "json_schema"),
        options=options,
    )

"""Any provider that speaks OpenAI's ``/chat/completions``.

OpenAI's dialect, as one who asks speaks it.
"""

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


@dataclass(frozen=True, slots=True)
class OpenAIAdapter:
    """Ask for one model."""

    model: str

    name: ClassVar = "openai"
    retryable_statuses: ClassVar = frozenset({429, 502, 503, 504})

    def build_request(self, query: Query, *, stream: bool) -> dict[str, object]:
        return build_request(query, self.model, stream=stream)

    def parse_error(self, parsed: object) -> ErrorObject | None:
        return parse_error(parsed)

    def parse_completion(self, parsed: object) -> Answer:
        return parse_completion(parsed)

    def stream_decoder(self) -> StreamDecoder:
        return OpenAIStreamDecoder()


__all__ = ["openai_backend"]

_NAME = "openai"
_ENDPOINT = "/chat/completions"


def openai_backend(
    *,
    base_url: str | None,
    api_key: str | None,
    model: str | None,
    stream: bool = False,
    **means: Unpack[ClientOptions],
) -> Backend:
    """Make a backend of a provider.

    Args:
        base_url: its address, up to and with ``/v1``.
        api_key: its key; a provider on one's own machine may need none.
        model: the model to ask for.
        stream: whether to take its answers as streams.
        **means: what ``Means`` has.

    Raises:
        ConfigurationError: a setting is missing, or none that a provider can be reached with.
    """
    address = endpoint_url(base_url, _NAME, "https://api.openai.com/v1")
    model = require_model(model, _NAME)
    key = require_api_key(api_key, _NAME)
    return make_provider_backend(
        OpenAIAdapter(model),
        model=model,
        url=address.removesuffix(_ENDPOINT) + _ENDPOINT,
        headers={"Authorization": f"Bearer {key}"} if key else {},
        secret=key,
        stream=stream,
        abilities=("tools", "images", "prefill", "response_format", "json_schema"),
        means=means,
    )

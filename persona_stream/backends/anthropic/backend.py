"""Backend for any provider with Anthropic's Messages API (``/v1/messages``)."""

from __future__ import annotations

from functools import partial
from typing import Unpack

from persona_stream.backends.anthropic.request import build_request
from persona_stream.backends.anthropic.response import parse_error, parse_message
from persona_stream.backends.anthropic.stream import AnthropicStreamDecoder
from persona_stream.backends.base import Backend
from persona_stream.backends.providers.base import ProviderAdapter
from persona_stream.backends.providers.factory import (
    ClientOptions,
    endpoint_url,
    make_provider_backend,
    require_api_key,
    require_model,
)

_NAME = "anthropic"
_VERSION = "2023-06-01"


def anthropic_adapter(model: str, max_tokens: int) -> ProviderAdapter:
    """Create the adapter for the Messages API, for one model and a default ``max_tokens``."""
    return ProviderAdapter(
        name=_NAME,
        retryable_statuses=frozenset({429, 502, 503, 504, 529}),  # 529 is Anthropic's "overloaded_error"
        build_request=partial(build_request, model=model, max_tokens=max_tokens),
        parse_error=parse_error,
        parse_completion=parse_message,
        stream_decoder=AnthropicStreamDecoder,
    )


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
        anthropic_adapter(model, max_tokens),
        model=model,
        url=address.removesuffix("/messages").removesuffix("/v1") + "/v1/messages",
        headers={"anthropic-version": _VERSION} | ({"x-api-key": key} if key else {}),
        api_key=key,
        stream=stream,
        capabilities=("tools", "images", "prefill", "json_schema"),
        options=options,
    )

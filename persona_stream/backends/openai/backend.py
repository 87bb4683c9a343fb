"""Backend for any provider with OpenAI's Chat Completions API (``/chat/completions``)."""

from __future__ import annotations

from functools import partial
from typing import Unpack

from persona_stream.backends.base import Backend
from persona_stream.backends.openai.request import build_request
from persona_stream.backends.openai.response import parse_completion, parse_error
from persona_stream.backends.openai.stream import OpenAIStreamDecoder
from persona_stream.backends.providers.base import ProviderAdapter
from persona_stream.backends.providers.factory import (
    ClientOptions,
    endpoint_url,
    make_provider_backend,
    require_api_key,
    require_model,
)

_NAME = "openai"
_ENDPOINT = "/chat/completions"


def openai_adapter(model: str) -> ProviderAdapter:
    """Create the adapter for the Chat Completions API, for one model."""
    return ProviderAdapter(
        name=_NAME,
        retryable_statuses=frozenset({429, 502, 503, 504}),
        build_request=partial(build_request, model=model),
        parse_error=parse_error,
        parse_completion=parse_completion,
        stream_decoder=OpenAIStreamDecoder,
    )


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
        openai_adapter(model),
        model=model,
        url=address.removesuffix(_ENDPOINT) + _ENDPOINT,
        headers={"Authorization": f"Bearer {key}"} if key else {},
        api_key=key,
        stream=stream,
        capabilities=("tools", "images", "prefill", "response_format", "json_schema"),
        options=options,
    )

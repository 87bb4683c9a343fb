"""Backend for any provider with Anthropic's Messages API (``/v1/messages``)."""

from functools import partial
from typing import Unpack

from persona_stream.backends.anthropic import request, response, stream
from persona_stream.backends.base import Backend
from persona_stream.backends.providers import base, client

_VERSION = "2023-06-01"


def anthropic_adapter(max_tokens: int) -> base.ProviderAdapter:
    """Create the adapter for the Messages API, with a default ``max_tokens``."""
    return base.ProviderAdapter(
        name="anthropic",
        example_url="https://api.anthropic.com",
        endpoint=lambda base_url: base_url.removesuffix("/messages").removesuffix("/v1") + "/v1/messages",
        headers=lambda key: {"anthropic-version": _VERSION} | ({"x-api-key": key} if key else {}),
        capabilities=frozenset({"tools", "images", "files", "prefill", "json_schema"}),
        retryable_statuses=frozenset({429, 502, 503, 504, 529}),  # 529 is Anthropic's "overloaded_error"
        build_request=partial(request.build_request, max_tokens=max_tokens),
        parse_error=response.parse_error,
        parse_completion=response.parse_message,
        stream_decoder=stream.AnthropicStreamDecoder,
        required_fields=frozenset({"max_tokens"}),
    )


def anthropic_backend(*, max_tokens: int = 4096, **options: Unpack[client.ProviderOptions]) -> Backend:
    """Create a backend for a provider, whose base URL is given with or without ``/v1``.

    Args:
        max_tokens: maximum length of an answer, where the client sets none.
        **options: the fields of ``ProviderOptions``.

    Raises:
        ConfigurationError: a setting is missing or invalid.
    """
    return client.make_provider_backend(anthropic_adapter(max_tokens), options)

"""Backend for any provider with OpenAI's Chat Completions API (``/chat/completions``)."""

from typing import Unpack, get_args

from persona_stream.backends.base import Backend, Capability
from persona_stream.backends.openai import request, response, stream
from persona_stream.backends.providers import base, client

_ENDPOINT = "/chat/completions"

OPENAI_ADAPTER = base.ProviderAdapter(
    name="openai",
    example_url="https://api.openai.com/v1",
    endpoint=lambda base_url: base_url.removesuffix(_ENDPOINT) + _ENDPOINT,
    headers=lambda key: {"Authorization": f"Bearer {key}"} if key else {},
    capabilities=frozenset(get_args(Capability)),
    retryable_statuses=frozenset({429, 502, 503, 504}),
    build_request=request.build_request,
    parse_error=response.parse_error,
    parse_completion=response.parse_completion,
    stream_decoder=stream.OpenAIStreamDecoder,
)


def openai_backend(**options: Unpack[client.ProviderOptions]) -> Backend:
    """Create a backend for a provider, whose base URL is given up to and including ``/v1``.

    Args:
        **options: the fields of ``ProviderOptions``.

    Raises:
        ConfigurationError: a setting is missing or invalid.
    """
    return client.make_provider_backend(OPENAI_ADAPTER, options)

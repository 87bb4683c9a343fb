"""Backend for any provider with OpenAI's Chat Completions API (``/chat/completions``)."""

from typing import Unpack

from persona_stream.backends.base import Backend
from persona_stream.backends.openai.request import build_request
from persona_stream.backends.openai.response import parse_completion, parse_error
from persona_stream.backends.openai.stream import OpenAIStreamDecoder
from persona_stream.backends.providers.base import ProviderAdapter
from persona_stream.backends.providers.client import ProviderOptions, make_provider_backend

_ENDPOINT = "/chat/completions"

OPENAI_ADAPTER = ProviderAdapter(
    name="openai",
    example_url="https://api.openai.com/v1",
    endpoint=lambda base_url: base_url.removesuffix(_ENDPOINT) + _ENDPOINT,
    headers=lambda key: {"Authorization": f"Bearer {key}"} if key else {},
    capabilities=frozenset({"tools", "images", "prefill", "response_format", "json_schema"}),
    retryable_statuses=frozenset({429, 502, 503, 504}),
    build_request=build_request,
    parse_error=parse_error,
    parse_completion=parse_completion,
    stream_decoder=OpenAIStreamDecoder,
)


def openai_backend(**options: Unpack[ProviderOptions]) -> Backend:
    """Create a backend for a provider, whose base URL is given up to and including ``/v1``.

    Args:
        **options: the fields of ``ProviderOptions``.

    Raises:
        ConfigurationError: a setting is missing or invalid.
    """
    return make_provider_backend(OPENAI_ADAPTER, options)

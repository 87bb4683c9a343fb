"""Backend for any provider with OpenAI's Responses API (``/responses``)."""

from dataclasses import replace
from typing import Unpack

from persona_stream.backends.base import Backend
from persona_stream.backends.openai.backend import OPENAI_ADAPTER
from persona_stream.backends.openai_responses import request, response, stream
from persona_stream.backends.providers import client

_ENDPOINT = "/responses"

RESPONSES_ADAPTER = replace(
    OPENAI_ADAPTER,
    endpoint=lambda base_url: base_url.removesuffix(_ENDPOINT) + _ENDPOINT,
    capabilities=OPENAI_ADAPTER.capabilities - {"choices", "logprobs", "audio", "audio_input"},
    build_request=request.build_request,
    parse_error=response.parse_error,
    parse_completion=response.parse_completion,
    stream_decoder=stream.ResponsesStreamDecoder,
)


def openai_responses_backend(**options: Unpack[client.ProviderOptions]) -> Backend:
    """Create a backend for a provider, whose base URL is given up to and including ``/v1``.

    Args:
        **options: the fields of ``ProviderOptions``.

    Raises:
        ConfigurationError: a setting is missing or invalid.
    """
    return client.make_provider_backend(RESPONSES_ADAPTER, options)

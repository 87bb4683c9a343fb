"""Any provider that speaks OpenAI's ``/chat/completions``."""

from __future__ import annotations

from typing import Unpack

from persona_stream.backends import Backend
from persona_stream.backends.openai.dialect import OpenAI
from persona_stream.backends.providers import checking
from persona_stream.backends.providers.making import Means, make

__all__ = ["openai_backend"]

_NAME = "openai"
_ENDPOINT = "/chat/completions"


def openai_backend(
    *,
    base_url: str | None,
    api_key: str | None,
    model: str | None,
    stream: bool = False,
    **means: Unpack[Means],
) -> Backend:
    """Make a backend of a provider.

    Args:
        base_url: its address, up to and with ``/v1``.
        api_key: its key; a provider on one's own machine may need none.
        model: the model to ask for.
        stream: whether to take its answers as streams.
        **means: what ``Means`` has.

    Raises:
        StartError: a setting is missing, or none that a provider can be reached with.
    """
    address = checking.address(base_url, _NAME, "https://api.openai.com/v1")
    model = checking.model(model, _NAME)
    key = checking.key(api_key, _NAME)
    return make(
        OpenAI(model),
        model=model,
        url=address.removesuffix(_ENDPOINT) + _ENDPOINT,
        headers={"Authorization": f"Bearer {key}"} if key else {},
        secret=key,
        stream=stream,
        abilities=("tools", "images", "prefill", "response_format", "json_schema"),
        means=means,
    )

"""Any provider that speaks Anthropic's ``/v1/messages``."""

from __future__ import annotations

from typing import Unpack

from persona_stream.backends import Backend
from persona_stream.backends.anthropic.dialect import Anthropic
from persona_stream.backends.providers import checking
from persona_stream.backends.providers.making import Means, make

__all__ = ["anthropic_backend"]

_NAME = "anthropic"
_VERSION = "2023-06-01"


def anthropic_backend(
    *,
    base_url: str | None,
    api_key: str | None,
    model: str | None,
    max_tokens: int = 4096,
    stream: bool = False,
    **means: Unpack[Means],
) -> Backend:
    """Make a backend of a provider.

    Args:
        base_url: its address, with or without ``/v1``.
        api_key: its key; a provider on one's own machine may need none.
        model: the model to ask for.
        max_tokens: how long an answer may be, where the client does not say it.
        stream: whether to take its answers as streams.
        **means: what ``Means`` has.

    Raises:
        StartError: a setting is missing, or none that a provider can be reached with.
    """
    address = checking.address(base_url, _NAME, "https://api.anthropic.com")
    model = checking.model(model, _NAME)
    key = checking.key(api_key, _NAME)
    return make(
        Anthropic(model, max_tokens),
        model=model,
        url=address.removesuffix("/messages").removesuffix("/v1") + "/v1/messages",
        headers={"anthropic-version": _VERSION} | ({"x-api-key": key} if key else {}),
        secret=key,
        stream=stream,
        abilities=("tools", "images", "prefill", "json_schema"),
        means=means,
    )

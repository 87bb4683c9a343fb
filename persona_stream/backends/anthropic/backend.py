"""Any provider that speaks Anthropic's ``/v1/messages``.

Anthropic's dialect, as one who asks speaks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Unpack

from persona_stream.backends.anthropic.request import body_of
from persona_stream.backends.anthropic.response import answer_of, fault_in
from persona_stream.backends.anthropic.stream import Stream
from persona_stream.backends.base import Backend
from persona_stream.backends.providers import factory as checking
from persona_stream.backends.providers.base import Fault, Reading
from persona_stream.backends.providers.factory import Means, make
from persona_stream.core.query import Answer, Query


@dataclass(frozen=True, slots=True)
class Anthropic:
    """Ask for one model.

    Attributes:
        max_tokens: how long an answer may be, where the client does not say it.
    """

    model: str
    max_tokens: int

    name: ClassVar = "anthropic"
    # 529 says that all of Anthropic is too busy at the moment.
    passing: ClassVar = frozenset({429, 502, 503, 504, 529})

    def body(self, query: Query, *, stream: bool) -> dict[str, object]:
        return body_of(query, self.model, self.max_tokens, stream=stream)

    def fault(self, parsed: object) -> Fault | None:
        return fault_in(parsed)

    def answer(self, parsed: object) -> Answer:
        return answer_of(parsed)

    def reading(self) -> Reading:
        return Stream()


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

"""Any provider that speaks OpenAI's ``/chat/completions``.

OpenAI's dialect, as one who asks speaks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Unpack

from persona_stream.backends.base import Backend
from persona_stream.backends.openai.request import body_of
from persona_stream.backends.openai.response import answer_of, fault_in
from persona_stream.backends.openai.stream import Stream
from persona_stream.backends.providers import factory as checking
from persona_stream.backends.providers.base import Fault, Reading
from persona_stream.backends.providers.factory import Means, make
from persona_stream.core.query import Answer, Query


@dataclass(frozen=True, slots=True)
class OpenAI:
    """Ask for one model."""

    model: str

    name: ClassVar = "openai"
    passing: ClassVar = frozenset({429, 502, 503, 504})

    def body(self, query: Query, *, stream: bool) -> dict[str, object]:
        return body_of(query, self.model, stream=stream)

    def fault(self, parsed: object) -> Fault | None:
        return fault_in(parsed)

    def answer(self, parsed: object) -> Answer:
        return answer_of(parsed)

    def reading(self) -> Reading:
        return Stream()


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

"""What a message can hold besides text, and what a model may ask its client to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Image:
    """Hold a picture.

    Attributes:
        url: where it is, or, as a ``data:`` URL, what it is.
        detail: how closely to look, in the words of the provider that is asked; ``None`` leaves that to it.
    """

    url: str
    detail: str | None = None


Part = str | Image


@dataclass(frozen=True, slots=True)
class Tool:
    """Describe a function that the client has, and that a model may ask it to call.

    Attributes:
        schema: the JSON schema of its arguments.
        strict: whether the arguments must keep to it; ``None`` leaves that to the provider.
    """

    name: str
    description: str | None
    schema: Mapping[str, Any]
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Say whether a model may, must or must not call a tool, or which one (``name``) it must call."""

    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Ask the client to call one of its tools. ``arguments`` is JSON, as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Extras:
    """Hold what a provider says beyond our own words, for clients that speak its dialect.

    What ``fields`` has in it is a matter between the two sides of that dialect.
    """

    dialect: Literal["openai", "anthropic"]
    fields: Mapping[str, Any]


def text_of(parts: tuple[Part, ...]) -> str:
    """Give the texts of a message, a line between them."""
    return "\n".join(part for part in parts if isinstance(part, str))

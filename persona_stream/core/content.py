"""What a message can hold besides text, and what a model may ask its client to do.

Texts of strangers, made fit for every wire and every store.
"""

from __future__ import annotations

import re
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
class ProviderFields:
    """Hold what a provider says beyond our own words, for clients that speak its dialect.

    What ``fields`` has in it is a matter between the two sides of that dialect.
    """

    dialect: Literal["openai", "anthropic"]
    fields: Mapping[str, Any]


def join_text_parts(parts: tuple[Part, ...]) -> str:
    """Give the texts of a message, a line between them."""
    return "\n".join(part for part in parts if isinstance(part, str))


# JSON in UTF-8 cannot carry half a surrogate pair, and PostgreSQL, C clients and terminals cannot carry NUL.
_UNFIT = re.compile("[\ud800-\udfff\x00]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def replace_unencodable(text: str) -> str:
    """Replace lone surrogates and NUL by U+FFFD, so that positions and lengths stay as they are."""
    return _UNFIT.sub("\ufffd", text) if not text.isascii() or "\x00" in text else text


def join_surrogates(text: str) -> str:
    """Make one character of each pair of surrogates, as they are left where a character came in two texts."""
    return text if text.isascii() else _PAIR.sub(_character, text)


def ends_with_high_surrogate(text: str) -> bool:
    """Tell whether a text ends with the first half of a pair of surrogates."""
    return "\ud800" <= text[-1:] <= "\udbff"


def _character(match: re.Match[str]) -> str:
    return match[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")

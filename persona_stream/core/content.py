"""Message content besides plain text (images, tools, provider fields), and sanitising of untrusted text."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import UNSET, UnsetType


@dataclass(frozen=True, slots=True)
class Image:
    """Image in a message, by address or ``data:`` URL.

    ``detail`` is the resolution level in the provider's terms; ``None`` leaves it to the provider.
    """

    url: str
    detail: str | None = None


Part = str | Image


@dataclass(frozen=True, slots=True)
class Tool:
    """Function of the client that the model may ask it to call.

    Attributes:
        schema: the JSON schema of its arguments.
        strict: whether the arguments must conform to the schema; ``None`` leaves that to the provider.
    """

    name: str
    description: str | None
    schema: Mapping[str, Any]
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Rule whether the model may, must or must not call a tool, or which tool (``name``) it must call."""

    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ProviderFields:
    """Fields of a request or a response beyond the common ones, for a client and a provider with the same protocol.

    Attributes:
        dialect: the wire protocol that the fields belong to.
        fields: the fields; only the provider adapter and the codec of that protocol interpret them.
    """

    dialect: str
    fields: Mapping[str, Any]


def fields_for(extras: ProviderFields | UnsetType | None, protocol: str) -> Mapping[str, Any]:
    """Return the fields that belong to a protocol; empty without extras, and for those of another protocol."""
    return extras.fields if extras and extras.dialect == protocol else {}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Request of the model that the client call a tool.

    Attributes:
        arguments: JSON, as the model wrote it.
        extras: further fields of the call, if any. Some providers reject a conversation in which they are missing.
    """

    id: str
    name: str
    arguments: str
    extras: ProviderFields | UnsetType = UNSET  # absent in JSON


def join_text_parts(parts: tuple[Part, ...]) -> str:
    """Return the text parts of a message, joined by newlines."""
    return "\n".join(part for part in parts if isinstance(part, str))


# JSON in UTF-8 cannot carry half a surrogate pair, and PostgreSQL, C clients and terminals cannot carry NUL.
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")

MAX_SLICE_CHARACTERS = 65_536
"""Length up to which a text is processed at once: ``re`` and ``json`` hold the interpreter lock until they return."""


def slices(text: str) -> Iterator[str]:
    """Yield the text in slices of ``MAX_SLICE_CHARACTERS``; at least one, which may be empty."""
    if len(text) <= MAX_SLICE_CHARACTERS:
        yield text
        return
    for start in range(0, len(text), MAX_SLICE_CHARACTERS):
        yield text[start : start + MAX_SLICE_CHARACTERS]


def replace_unencodable(text: str) -> str:
    """Replace lone surrogates and NUL by U+FFFD, so that positions and lengths stay as they are."""
    text = text.replace("\x00", "\ufffd")
    return text if text.isascii() else "".join(_SURROGATE.sub("\ufffd", part) for part in slices(text))


def join_surrogates(text: str) -> str:
    """Combine each surrogate pair into one character; a character split over two texts leaves such a pair."""
    if text.isascii() or _SURROGATE_PAIR.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def ends_with_high_surrogate(text: str) -> bool:
    """Return whether the text ends with the first half of a surrogate pair."""
    return "\ud800" <= text[-1:] <= "\udbff"

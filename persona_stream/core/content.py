"""Message content besides plain text (attachments, tools, provider fields), and sanitising of untrusted text."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from msgspec import UNSET, UnsetType

AttachmentType = Literal["image", "file", "audio"]

_TEXT_TYPE = re.compile(r"text/.+|application/(?:.+\+)?(?:json|xml|yaml)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Attachment:
    """Image, file or recording in a message.

    Attributes:
        url: its address, which the server never fetches, or the content itself as a ``data:`` URL in base64.
        detail: the resolution level of an image in the provider's terms; ``None`` leaves it to the provider.
        type: ``image``, ``file`` or ``audio``.
        name: the file name, if the client sent one. It contains no separators of directories.
    """

    url: str
    detail: str | None = None
    type: AttachmentType = field(default="image", kw_only=True)
    name: str | None = field(default=None, kw_only=True)

    @property
    def media_type(self) -> str:
        """The media type of the content, such as ``image/png``; empty for an address."""
        return self.url[5:200].partition(",")[0].partition(";")[0].lower() if self._has_data else ""

    @property
    def encoded(self) -> str:
        """The content in base64; empty for an address."""
        return self.url.partition(",")[2] if self._has_data else ""

    @property
    def data(self) -> bytes | None:
        """The content; ``None`` for an address. Raises ``ValueError`` if it is not valid base64."""
        return base64.b64decode(self.encoded, validate=True) if self._has_data else None

    @property
    def text(self) -> str | None:
        """The content if it is a text in UTF-8, else ``None``."""
        if not _TEXT_TYPE.fullmatch(self.media_type):
            return None
        try:
            return base64.b64decode(self.encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None

    @property
    def size(self) -> int | None:
        """The size of the content in bytes; ``None`` for an address."""
        return len(self.encoded.rstrip("=")) * 3 // 4 if self._has_data else None

    @property
    def note(self) -> str:
        """The text that stands for the attachment where only text is kept, such as ``[image: cat.png]``."""
        return f"[{self.type}: {self.name}]" if self.name else f"[{self.type}]"

    @property
    def _has_data(self) -> bool:
        return self.url.startswith("data:")


Image = Attachment
"""Alias of ``Attachment``, for backends that use its former name."""

Part = str | Attachment


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


def attachments_of(parts: tuple[Part, ...]) -> tuple[Attachment, ...]:
    """Return the attachments of a message."""
    return tuple(part for part in parts if isinstance(part, Attachment))


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

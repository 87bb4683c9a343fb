"""Validation of the attachments of a request: images, files and recordings, by address or as ``data:`` URLs.

Invariants:
    Content is valid base64, and its media type fits the type of the attachment.
    Addresses have no credentials: they reach providers and logs.
    Names can be shown, and joined to a directory: they have no control characters and no separators.
"""

import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from persona_stream.core.content import Attachment, AttachmentType
from persona_stream.errors import InvalidRequest

MAX_ATTACHMENTS = 8  # of a native request
MAX_URL_CHARACTERS = 8000
MAX_NAME_CHARACTERS = 255

# A media type with parameters, such as audio/ogg;codecs=opus, and the content.
_DATA_URL = re.compile(
    r"data:(?P<type>[A-Za-z]+/[A-Za-z0-9.+_-]{1,100})(?:;[A-Za-z0-9_-]{1,40}=[A-Za-z0-9.+_-]{1,80}){0,4};base64,",
    re.ASCII,
)
_ADDRESS = re.compile(r"https?://[!-~\u00a1-\U0010ffff]+")
# Control characters, line separators, marks that reorder text, and separators of directories.
_FORBIDDEN_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f/\\\\\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MEDIA: Mapping[AttachmentType, str] = {"image": "image/", "file": "", "audio": "audio/"}


class NativeAttachment(Struct, frozen=True):
    """Image, file or recording of a native request."""

    type: Annotated[Literal["image", "file", "audio"], Meta(description="Kind of the attachment.")]
    url: Annotated[
        str,
        Meta(description="`data:<media type>;base64,…`, or an `https://` address, which is passed on unread."),
    ]
    name: Annotated[
        Annotated[str, Meta(max_length=MAX_NAME_CHARACTERS)] | None, Meta(description="File name, without a path.")
    ] = None


def parse_native(attachments: Sequence[NativeAttachment]) -> tuple[Attachment, ...]:
    """Return the attachments of a native request; raise ``InvalidRequest`` if one is invalid."""
    found = []
    for index, each in enumerate(attachments):
        where = f"attachments[{index}]"
        if each.name is not None and each.name != _clean_name(each.name):
            raise InvalidRequest(
                f"{where}.name: must be a file name without a path and without control characters", "attachments"
            )
        # Clients of other protocols may send it, for providers in the same network.
        if each.url.startswith("http:"):
            raise InvalidRequest(f"{where}.url: must begin with https: or data:", "attachments")
        found.append(parse_attachment(each.url, f"{where}.url", "attachments", type=each.type, name=each.name))
    return tuple(found)


def parse_attachment(
    url: str,
    where: str,
    field: str = "messages",
    *,
    type: AttachmentType = "image",
    name: str | None = None,
    detail: str | None = None,
) -> Attachment:
    """Return a valid attachment.

    Args:
        url: The URL.
        where: Path of the URL, for the error.
        field: Field of the request that contains it, for the error.
        type: The type.
        name: The file name or the title, if there is one; characters that no file name should have are replaced.
        detail: The resolution level of an image.

    Raises:
        InvalidRequest: The URL is invalid.
    """
    if problem := _url_problem(url, type):
        raise InvalidRequest(f"{where}: {problem}", field)
    return Attachment(url, detail, type=type, name=_clean_name(name or "") or None)


def _url_problem(url: str, type: AttachmentType) -> str | None:
    if _ADDRESS.match(url):
        return _address_problem(url)
    found = _DATA_URL.match(url)
    if found is None or not found["type"].lower().startswith(_MEDIA[type]):
        return f"must be the URL of {_ARTICLES[type]}: https://… or data:{_MEDIA[type] or '…/'}…;base64,…"
    encoded = url[found.end() :]
    try:
        binascii.a2b_base64(encoded, strict_mode=True)
    except (binascii.Error, ValueError):  # the latter for characters beyond ASCII
        return "its base64 is invalid"
    if len(encoded) % 4 != 0:  # strict mode allows excess padding
        return "its base64 is invalid"
    return None if encoded else "has no content"


_ARTICLES: Mapping[AttachmentType, str] = {"image": "an image", "file": "a file", "audio": "a recording"}


def _address_problem(url: str) -> str | None:
    if len(url) > MAX_URL_CHARACTERS:
        return f"has {len(url)} characters, at most {MAX_URL_CHARACTERS} are allowed"
    try:
        parts = urlsplit(url)
        is_valid = _ADDRESS.fullmatch(url) is not None and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        return "is not a valid address"
    return "must not contain a user name or a password" if "@" in parts.netloc else None


def _clean_name(name: str) -> str:
    name = _FORBIDDEN_IN_NAMES.sub("_", name)[:MAX_NAME_CHARACTERS]
    return "_" if name in (".", "..") else name

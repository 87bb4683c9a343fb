"""Attachments of a question, from files and addresses."""

import base64
import mimetypes
from pathlib import Path

from persona_stream.client.models import InvalidArgument
from persona_stream.core.content import Attachment, AttachmentType

_OTHER_TYPE = "application/octet-stream"


def load_attachment(source: str) -> Attachment:
    """Return the attachment at a path or at an address, which is sent as it is.

    Raises:
        InvalidArgument: The file cannot be read.
    """
    if source.startswith(("https://", "http://")):  # the server refuses the second one
        return Attachment(source, type=_kind(_guess_type(source.partition("?")[0]) or _OTHER_TYPE))
    path = Path(source)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidArgument("attachment_unreadable", file=source, reason=error.strerror or str(error)) from error
    media_type = _guess_type(path.name) or ("text/plain" if _is_text(content) else _OTHER_TYPE)
    url = f"data:{media_type};base64,{base64.b64encode(content).decode()}"
    return Attachment(url, type=_kind(media_type), name=path.name)


def _guess_type(name: str) -> str | None:
    media_type, compression = mimetypes.guess_type(name, strict=False)
    return _OTHER_TYPE if compression else media_type


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in content


def _kind(media_type: str) -> AttachmentType:
    kind = media_type.partition("/")[0]
    # A drawing in SVG is a text, which models read as such.
    if kind == "image" and media_type != "image/svg+xml":
        return "image"
    return "audio" if kind == "audio" else "file"

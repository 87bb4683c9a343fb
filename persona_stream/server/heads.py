"""What the head of a request may be: what every server reads alike, and nothing else. Pure.

A proxy and a server that read the same bytes as different requests let a stranger hide one request in another. So
whatever can be read in two ways is refused, and never put right. Source: RFC 9112 (§2.2, §3.2, §5, §6, §11.2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LONGEST = 32 * 1024  # bytes of a head; a request line may have 8 KiB of them
MOST_FIELDS = 100
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST = re.compile(rb"%b [\x21-\x7e\x80-\xff]+ HTTP/1\.[01]\r\n" % _TOKEN)
# One part for all that follows the colon: with two that overlap, a long value could be divided in too many ways.
_FIELD = re.compile(rb"(%b):([\t\x20-\x7e\x80-\xff]*)\r\n" % _TOKEN)
_LENGTH = re.compile(rb"[0-9]{1,18}")
_ONCE = (b"host", b"content-length", b"transfer-encoding", b"content-type", b"authorization")


class BadHead(ValueError):
    """Refuse a head.

    Attributes:
        status: of the answer.
    """

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


def check_request_line(line: bytes) -> None:
    """See that a request begins as one of HTTP/1.0 or 1.1 does.

    Raises:
        BadHead: it does not.
    """
    if not _REQUEST.fullmatch(line):
        raise BadHead("the request line is not: method, address, HTTP/1.1")


def read_fields(lines: Sequence[bytes], version: str) -> Sequence[tuple[str, str]]:
    """Read header fields, and see that they say one thing only.

    Args:
        lines: each with its line's end, and without the empty one at the end of all.
        version: ``HTTP/1.0`` or ``HTTP/1.1``.

    Returns:
        their names and values, whose bytes are each a character (latin-1), as WSGI has them.

    Raises:
        BadHead: they do not.
    """
    fields = []
    once: dict[bytes, bytes] = {}
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None:
            raise BadHead("a header is not: name, colon, value on one line")
        value = found[2].strip(b" \t")
        fields.append((str(found[1], "latin-1"), str(value, "latin-1")))
        name = found[1].lower()
        if name in _ONCE:
            if name in once:
                raise BadHead(f"the header {name.decode()} is there twice")
            once[name] = value
    if version == "HTTP/1.1" and b"host" not in once:
        raise BadHead("the header host is missing")
    _check_framing(once.get(b"content-length"), once.get(b"transfer-encoding"), version)
    return fields


def is_field(line: bytes) -> bool:
    """Tell whether this is a header field, with its line's end."""
    return _FIELD.fullmatch(line) is not None


def _check_framing(length: bytes | None, coding: bytes | None, version: str) -> None:
    """See that there is one way to tell where the body ends."""
    if length is not None and not _LENGTH.fullmatch(length):
        raise BadHead("content-length is not a number of bytes")
    if coding is None:
        return
    if length is not None:
        raise BadHead("content-length and transfer-encoding contradict each other")
    if version != "HTTP/1.1":
        raise BadHead("transfer-encoding is of HTTP/1.1")
    if coding.lower() != b"chunked":
        raise BadHead("of transfer codings this server has chunked alone", 501)

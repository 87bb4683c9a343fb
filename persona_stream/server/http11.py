"""What the head of a request may be: what every server reads alike, and nothing else. Pure.

A proxy and a server that read the same bytes as different requests let a stranger hide one request in another. So
whatever can be read in two ways is refused, and never put right. Source: RFC 9112 (§2.2, §3.2, §5, §6, §11.2).

The header fields of a request, in the forms that gevent and WSGI ask for them.

Python's own reader is made for mail, and takes as long for a head as the rest of the server does for a request.

The body of a request, which is read to its end or not at all.

Where a body ends, the next request of its connection begins: whoever is wrong about that takes a stranger's text for a
request. So chunks are read as strictly as heads are, and a connection goes on only behind a body whose end was seen.
Source: RFC 9112 (§6, §7.1). gevent's own reader takes an extension of a chunk over several lines.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

MAX_HEAD_BYTES = 32 * 1024  # bytes of a head; a request line may have 8 KiB of them
MAX_HEADERS = 100
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST = re.compile(rb"%b [\x21-\x7e\x80-\xff]+ HTTP/1\.[01]\r\n" % _TOKEN)
# One part for all that follows the colon: with two that overlap, a long value could be divided in too many ways.
_FIELD = re.compile(rb"(%b):([\t\x20-\x7e\x80-\xff]*)\r\n" % _TOKEN)
_LENGTH = re.compile(rb"[0-9]{1,18}")
_ONCE = (b"host", b"content-length", b"transfer-encoding", b"content-type", b"authorization")


class BadRequest(ValueError):
    """Refuse a head.

    Attributes:
        status: of the answer.
    """

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


def validate_request_line(line: bytes) -> None:
    """See that a request begins as one of HTTP/1.0 or 1.1 does.

    Raises:
        BadHead: it does not.
    """
    if not _REQUEST.fullmatch(line):
        raise BadRequest("the request line is not: method, address, HTTP/1.1")


def parse_headers(lines: Sequence[bytes], version: str) -> Sequence[tuple[str, str]]:
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
            raise BadRequest("a header is not: name, colon, value on one line")
        value = found[2].strip(b" \t")
        fields.append((str(found[1], "latin-1"), str(value, "latin-1")))
        name = found[1].lower()
        if name in _ONCE:
            if name in once:
                raise BadRequest(f"the header {name.decode()} is there twice")
            once[name] = value
    if version == "HTTP/1.1" and b"host" not in once:
        raise BadRequest("the header host is missing")
    _check_framing(once.get(b"content-length"), once.get(b"transfer-encoding"), version)
    return fields


def is_field(line: bytes) -> bool:
    """Tell whether this is a header field, with its line's end."""
    return _FIELD.fullmatch(line) is not None


def _check_framing(length: bytes | None, coding: bytes | None, version: str) -> None:
    """See that there is one way to tell where the body ends."""
    if length is not None and not _LENGTH.fullmatch(length):
        raise BadRequest("content-length is not a number of bytes")
    if coding is None:
        return
    if length is not None:
        raise BadRequest("content-length and transfer-encoding contradict each other")
    if version != "HTTP/1.1":
        raise BadRequest("transfer-encoding is of HTTP/1.1")
    if coding.lower() != b"chunked":
        raise BadRequest("of transfer codings this server has chunked alone", 501)


# WSGI has names of their own for these.
_APART = frozenset(("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"))


class Headers:
    """Hold the fields of a head that was found good, as gevent's handler asks for them.

    Attributes:
        status: what is wrong with the head: nothing.
    """

    status = ""

    def __init__(self, fields: Sequence[tuple[str, str]]) -> None:
        self._fields = fields
        self._first: dict[str, str] = {}
        for name, value in fields:
            self._first.setdefault(name.lower(), value)

    def get(self, name: str, default: str | None = None) -> str | None:
        """Give the first value of a field."""
        return self._first.get(name.lower(), default)

    getheader = get

    def __delitem__(self, name: str) -> None:
        """Forget a field's value, or raise ``KeyError``."""
        del self._first[name.lower()]

    @property
    def typeheader(self) -> str | None:
        """The field Content-Type."""
        return self._first.get("content-type")

    def variables(self) -> Iterator[tuple[str, str]]:
        """Give names and values as WSGI has them.

        A name with an underscore is left out: as a variable it could not be told from one with a dash, which a proxy
        before us may have checked.
        """
        for name, value in self._fields:
            if "_" not in name and (variable := _variable(name)) not in _APART:
                yield variable, value


@lru_cache(1024)  # every request has the same few; strangers may send as many others as they like
def _variable(name: str) -> str:
    return "HTTP_" + name.upper().replace("-", "_")


_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_LONGEST_LINE = 4096  # bytes of a chunk's size with its extensions, or of a trailer
_PART_BYTES = 64 * 1024


class BadBody(OSError):
    """Say that a body breaks off, or is not framed as it must be."""


class Body(io.RawIOBase):
    """Be the body that an application reads.

    Args:
        file: the connection, where its body begins.
        length: in bytes; ``None`` for one in chunks.
        invite: tells the client to send it, where it waits for that.

    Attributes:
        is_over: whether its end was read, in good order.
    """

    def __init__(self, file: io.BufferedReader, length: int | None, invite: Callable[[], None] | None) -> None:
        super().__init__()
        self._file, self._is_chunked, self._invite = file, length is None, invite
        self._left = length or 0  # of the chunk, where it is in chunks
        self._is_broken = False
        self.is_over = length == 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what there is, but at least a byte of it; nothing where it is over.

        Raises:
            BadBody: it will never be over.
            OSError: the same, because the connection is broken, or took too long.
        """
        if self._is_broken:
            raise BadBody("the body is broken")
        if self.is_over or not len(buffer):
            return 0
        self._is_broken = True  # until it turns out well
        if self._invite is not None:
            self._invite()
            self._invite = None
        received = self._read(memoryview(buffer))
        self._is_broken = False
        return received

    def drain(self, most_bytes: int) -> None:
        """Read what is left, if that is no more, to come to its end."""
        # Who waits to be invited, and was told something else, sends no body, or sends it all the same.
        if self._invite is not None or (not self._is_chunked and self._left > most_bytes):
            return
        with suppress(OSError):  # its end is not seen then, which is all that anybody asks
            while not self.is_over and most_bytes > 0:
                most_bytes -= len(self.read(_PART_BYTES))

    def _discard(self) -> None:
        """Leave the rest where it is, when gevent asks to read it: the handler has decided about that."""

    def _read(self, buffer: memoryview) -> int:
        if self._left == 0:
            self._left = self._size()
            if self._left == 0:
                self._pass_trailers()
                self.is_over = True
                return 0
        received = self._file.readinto1(buffer[: self._left])
        if not received:
            raise BadBody("the body breaks off")
        self._left -= received
        if self._left == 0 and self._is_chunked and self._file.read(2) != b"\r\n":
            raise BadBody("a chunk is longer than its size")
        self.is_over = self._left == 0 and not self._is_chunked
        return received

    def _size(self) -> int:
        found = _SIZE.fullmatch(self._file.readline(_LONGEST_LINE))
        if found is None:
            raise BadBody("a chunk has no size")
        return int(found[1], 16)

    def _pass_trailers(self) -> None:
        for _ in range(MAX_HEADERS):
            line = self._file.readline(_LONGEST_LINE)
            if line == b"\r\n":
                return
            if not is_field(line):
                raise BadBody("a trailer is no header")
        raise BadBody("there are too many trailers")

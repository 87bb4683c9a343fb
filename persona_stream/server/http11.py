"""Strict parser of HTTP/1.1 requests: request line, header fields and bodies (RFC 9112 §2.2, §3.2, §5-§7, §11.2). Pure.

Invariants:

- A request that two servers could read in two ways is refused, never repaired: a proxy and a server that disagree about
  where a request ends let an attacker smuggle another one in.
- A connection continues only after a body whose end was read.

gevent's parser accepts an extension of a chunk over several lines; Python's is made for mail and takes as long for a
head as the rest of the server for a request.
"""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
_MAX_CHUNK_LINE_BYTES = 4096  # the size of a chunk with its extensions, or a trailer
_READ_BYTES = 64 * 1024
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"%b [\x21-\x7e\x80-\xff]+ HTTP/1\.[01]\r\n" % _TOKEN)
# One group for everything after the colon: two groups that overlap would backtrack over a long value.
_FIELD = re.compile(rb"(%b):([\t\x20-\x7e\x80-\xff]*)\r\n" % _TOKEN)
_ABSOLUTE_TARGET = re.compile(r"(?i:https?)://([A-Za-z0-9._~%!$&'()*+,;=:\[\]-]+)([/?].*)?")
_CONTENT_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
# The characters of a host and its port (RFC 3986 §3.2.2); whether it exists is not checked.
_HOST = re.compile(rb"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]*")
_SINGLE_FIELDS = (b"host", b"content-length", b"transfer-encoding", b"content-type", b"authorization")
_WSGI_EXCEPTIONS = frozenset(("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"))  # WSGI has other names for them


class BadRequest(ValueError):
    """Request whose head is refused with an HTTP status."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class BadBody(OSError):
    """Body that ends early or has wrong framing."""


def validate_request_line(line: bytes) -> None:
    """Raise ``BadRequest`` unless this is a request line of HTTP/1.0 or 1.1."""
    if not _REQUEST_LINE.fullmatch(line):
        raise BadRequest("the request line must have a method, a target and HTTP/1.1")


def split_target(target: str) -> tuple[str, str | None]:
    """Return the path and query of a request target, and the host of an absolute one, else ``None``.

    A proxy may pass the absolute form on, and each server must accept it (RFC 9112 §3.2.2; gevent #140).

    Raises:
        BadRequest: the target is neither a path, nor ``*``, nor a URL of http or https without user information.
    """
    if target.startswith("/") or target == "*":
        return target, None
    found = _ABSOLUTE_TARGET.fullmatch(target)
    if found is None:
        raise BadRequest("the target must be a path or an http URL")
    path = found[2] or "/"
    return path if path.startswith("/") else f"/{path}", found[1]


def parse_headers(lines: Sequence[bytes], version: str) -> Sequence[tuple[str, str]]:
    """Parse header fields and check that they are unambiguous.

    Args:
        lines: lines with their ends, without the empty one.
        version: ``HTTP/1.0`` or ``HTTP/1.1``.

    Returns:
        Names and values, decoded as latin-1, as WSGI requires.

    Raises:
        BadRequest: a field is malformed, repeated or missing, or the framing is ambiguous.
    """
    fields = []
    single: dict[bytes, bytes] = {}
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None:
            raise BadRequest("a header must have a name, a colon and a value on one line")
        value = found[2].strip(b" \t")
        fields.append((str(found[1], "latin-1"), str(value, "latin-1")))
        name = found[1].lower()
        if name in _SINGLE_FIELDS:
            if name in single:
                raise BadRequest(f"the header {name.decode()} is repeated")
            single[name] = value
    if version == "HTTP/1.1" and b"host" not in single:
        raise BadRequest("the header host is missing")
    if not _HOST.fullmatch(single.get(b"host", b"")):
        raise BadRequest("the header host must be a host name or an address, and a port")
    _check_framing(single.get(b"content-length"), single.get(b"transfer-encoding"), version)
    return fields


def parse_tokens(value: str) -> frozenset[str]:
    """Return the members of a list of tokens (RFC 9110 §5.6.1), in lower case."""
    return frozenset(token.strip(" \t").lower() for token in value.split(","))


def is_persistent(connection: str, version: str) -> bool:
    """Return whether a connection is open for another request after this one (RFC 9112 §9.3, §9.6).

    Args:
        connection: values of ``Connection``, joined by commas.
        version: ``HTTP/1.0`` or ``HTTP/1.1``.
    """
    options = parse_tokens(connection)
    return "close" not in options and (version == "HTTP/1.1" or "keep-alive" in options)


def is_continue_expected(expect: str, version: str) -> bool:
    """Return whether a client waits for ``100 Continue``; one of HTTP/1.0 would take it for the response."""
    return version == "HTTP/1.1" and "100-continue" in parse_tokens(expect)


def is_field(line: bytes) -> bool:
    """Return whether a line, with its end, is a header field."""
    return _FIELD.fullmatch(line) is not None


def _check_framing(length: bytes | None, coding: bytes | None, version: str) -> None:
    if length is not None and not _CONTENT_LENGTH.fullmatch(length):
        raise BadRequest("content-length must be a number of bytes")
    if coding is None:
        return
    if length is not None:
        raise BadRequest("content-length and transfer-encoding exclude each other")
    if version != "HTTP/1.1":
        raise BadRequest("transfer-encoding requires HTTP/1.1")
    if coding.lower() != b"chunked":
        raise BadRequest("chunked is the only supported transfer-encoding", 501)


class Headers:
    """Header fields with the interface that gevent's handler expects of a parsed head."""

    status = ""  # parse error

    def __init__(self, fields: Sequence[tuple[str, str]]) -> None:
        self._fields = fields
        self._first: dict[str, str] = {}
        for name, value in fields:
            self._first.setdefault(name.lower(), value)

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a field."""
        return self._first.get(name.lower(), default)

    getheader = get

    def joined(self, name: str) -> str:
        """Return all values of a field, joined by commas."""
        return ",".join(value for field, value in self._fields if field.lower() == name.lower())

    def replace(self, name: str, value: str) -> None:
        """Replace all values of a field by this one."""
        self._fields = [*(field for field in self._fields if field[0].lower() != name.lower()), (name, value)]
        self._first[name.lower()] = value

    def __delitem__(self, name: str) -> None:
        """Remove a field, or raise ``KeyError``."""
        del self._first[name.lower()]

    @property
    def typeheader(self) -> str | None:
        """Value of Content-Type."""
        return self._first.get("content-type")

    def variables(self) -> Iterator[tuple[str, str]]:
        """Yield the names and values of WSGI variables.

        Names with an underscore are left out: their variables would equal those of names with a hyphen, which a proxy
        may have checked.
        """
        for name, value in self._fields:
            if "_" not in name and (variable := _wsgi_variable(name)) not in _WSGI_EXCEPTIONS:
                yield variable, value


def wsgi_variables(fields: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the WSGI variables of header fields; the values of repeated ones are joined, as gevent joins them."""
    headers = Headers(fields)
    variables: dict[str, str] = {}
    for variable, value in headers.variables():
        if variable in variables:
            separator = "; " if "COOKIE" in variable else ","
            variables[variable] += separator + value
        else:
            variables[variable] = value
    for name in ("Content-Type", "Content-Length"):
        if (content := headers.get(name)) is not None:
            variables[_wsgi_variable(name).removeprefix("HTTP_")] = content
    return variables


@lru_cache(1024)  # requests share a few names; the bound is for untrusted clients
def _wsgi_variable(name: str) -> str:
    return "HTTP_" + name.upper().replace("-", "_")


class RequestBody(io.RawIOBase):
    """Request body as the application reads it.

    Args:
        file: the connection, at the beginning of the body.
        length: in bytes; ``None`` for a chunked body.
        send_continue: sends ``100 Continue``, if the client waits for it.

    Attributes:
        is_over: whether the end was read.
    """

    def __init__(self, file: io.BufferedReader, length: int | None, send_continue: Callable[[], None] | None) -> None:
        super().__init__()
        self._file = file
        self._is_chunked = length is None
        self._send_continue = send_continue
        self._left = length or 0  # of the current chunk, if chunked
        self._is_broken = False
        self.is_over = length == 0

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read at least one byte; return 0 at the end; raise ``BadBody``, or ``OSError`` of the connection."""
        if self._is_broken:
            raise BadBody("the body is broken")
        if self.is_over or not len(buffer):
            return 0
        self._is_broken = True  # until the read succeeds
        if self._send_continue is not None:
            self._send_continue()
            self._send_continue = None
        received = self._read(memoryview(buffer))
        self._is_broken = False
        return received

    def is_drainable(self, max_bytes: int) -> bool:
        """Return whether the rest can be read and discarded, as far as its length is known."""
        if self.is_over:
            return True
        # A client that still waits for 100 Continue may or may not send its body after another response.
        is_expected = self._send_continue is None and not self._is_broken
        return is_expected and (self._is_chunked or self._left <= max_bytes)

    def drain(self, max_bytes: int) -> None:
        """Read and discard the rest, unless it is longer than ``max_bytes``."""
        if not self.is_drainable(max_bytes):
            return
        with suppress(OSError):  # is_over stays false
            while not self.is_over and max_bytes > 0:
                max_bytes -= len(self.read(_READ_BYTES))

    def _discard(self) -> None:
        """Do nothing: gevent calls this to read the rest, which ``Handler.run_application`` has already decided on."""

    def _read(self, buffer: memoryview) -> int:
        if self._left == 0:
            self._left = self._read_chunk_size()
            if self._left == 0:
                self._skip_trailers()
                self.is_over = True
                return 0
        received = self._file.readinto1(buffer[: self._left])
        if not received:
            raise BadBody("the body ends early")
        self._left -= received
        if self._left == 0 and self._is_chunked and self._file.read(2) != b"\r\n":
            raise BadBody("a chunk is longer than its size")
        self.is_over = self._left == 0 and not self._is_chunked
        return received

    def _read_chunk_size(self) -> int:
        found = _CHUNK_SIZE.fullmatch(self._file.readline(_MAX_CHUNK_LINE_BYTES))
        if found is None:
            raise BadBody("a chunk has no valid size")
        return int(found[1], 16)

    def _skip_trailers(self) -> None:
        for _ in range(MAX_HEADERS):
            line = self._file.readline(_MAX_CHUNK_LINE_BYTES)
            if line == b"\r\n":
                return
            if not is_field(line):
                raise BadBody("a trailer is not a header field")
        raise BadBody("there are too many trailers")

"""The body of a request, which is read to its end or not at all.

Where a body ends, the next request of its connection begins: whoever is wrong about that takes a stranger's text for a
request. So chunks are read as strictly as heads are, and a connection goes on only behind a body whose end was seen.
Source: RFC 9112 (§6, §7.1). gevent's own reader takes an extension of a chunk over several lines.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from persona_stream.server import heads

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

    def drop(self, most_bytes: int) -> None:
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
        for _ in range(heads.MOST_FIELDS):
            line = self._file.readline(_LONGEST_LINE)
            if line == b"\r\n":
                return
            if not heads.is_field(line):
                raise BadBody("a trailer is no header")
        raise BadBody("there are too many trailers")

"""The chunks of an HTTP/1.1 body, taken off as many at once as have come.

The law: how the bytes are cut into reads never changes the body. The rules are those of RFC 9112, section 7.1, with a
bare LF too for the end of a size or a trailer, as Python's own client takes it. This does no I/O.
"""

from __future__ import annotations

import re

# What closes a chunk's data stands before the next one's size; a body begins as if one had just ended.
_CLOSED = b"\r\n"
_SIZE = re.compile(_CLOSED + rb"([0-9A-Fa-f]{1,15})[ \t]*+(?:;[^\n]*+)?+\r?\n")
_BEGUN = re.compile(rb"\r?\Z|\r\n[^\n]*+\Z")
_TRAILERS = re.compile(rb"(?:[^\r\n][^\n]*+\n)*+\r?\n")
_LONGEST = 16 * 1024  # bytes between two chunks, or after the last


class Chunks:
    """Read one body.

    Attributes:
        is_over: whether it has ended.
        is_broken: whether it cannot go on, because it was cut off, or is not in chunks.
    """

    def __init__(self) -> None:
        self._left = 0  # bytes of the current chunk
        self._rest = _CLOSED  # the beginning of what is between two chunks
        self._is_last = False
        self.is_over = False
        self.is_broken = False

    def take(self, read: bytes) -> bytes:
        """Take what was read, and give what there is of the body in it; no bytes say that nothing more comes."""
        data = self._rest + read
        body, end = [data[: self._left]], self._left
        while end < len(data) and not self._is_last and (size := _SIZE.match(data, end)):
            begin = size.end()
            end = begin + int(size[1], 16)
            body.append(data[begin:end])
            self._is_last = begin == end
        self._left = max(0, end - len(data))
        self._rest = data[end:]
        if self._is_last and _TRAILERS.match(self._rest):
            self.is_over = True
        else:
            may_go_on = self._is_last or _BEGUN.match(self._rest)
            self.is_broken = not (read and may_go_on and len(self._rest) <= _LONGEST)
        return b"".join(body)

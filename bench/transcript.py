"""Read what came over one connection: the response's chunks, the events in them, and when each was whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec


class StreamError(Exception):
    """Say what is wrong with a stream."""


class Arrival(NamedTuple):
    """Hold one event and the moment at which its last byte came."""

    at: float
    body: dict[str, Any]


class Transcript(NamedTuple):
    """Hold one stream: when it was asked for, each read with its moment, and why it broke, if the client knows."""

    asked: float
    reads: Sequence[tuple[float, bytes]]
    why: str = ""

    def events(self) -> Iterator[Arrival]:
        """Yield the events of the stream.

        Raises:
            StreamError: this is not a whole response with status 200, or an event has not the form of the wire.
        """
        if self.why:
            raise StreamError(self.why)
        text = b""
        for at, data in _body(self.reads):
            # Neither form of a line's end can stand inside the JSON.
            text += data.replace(b"\r\n", b"\n")
            *whole, text = text.split(b"\n\n")
            for event in whole:
                yield Arrival(at, _event(event))
        if text:
            raise StreamError(f"ends inside an event: {text[:80]!r}")


def _body(reads: Sequence[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """Take the headers and the chunked framing away."""
    raw, headers = b"", True
    for at, data in reads:
        raw += data
        if headers:
            head, end, rest = raw.partition(b"\r\n\r\n")
            if not end:
                continue
            if not head.startswith(b"HTTP/1.1 200 "):
                status, _, _ = head.partition(b"\r\n")
                raise StreamError(f"answered {status.decode(errors='replace')}")
            if b"transfer-encoding: chunked" not in head.lower():
                raise StreamError("the response is not chunked")
            raw, headers = rest, False
        body, raw, last = _chunks(raw)
        if body:
            yield at, body
        if last:
            return
    raise StreamError("the response has no end")


def _chunks(raw: bytes) -> tuple[bytes, bytes, bool]:
    """Give the bodies of the whole chunks, what is left over, and whether the last one was among them."""
    bodies: list[bytes] = []
    start = 0
    while True:
        line = raw.find(b"\r\n", start)
        if line < 0:
            break
        size = int(raw[start:line].split(b";")[0], 16)
        end = line + 2 + size
        if len(raw) < end + 2:
            break
        if size == 0:
            return b"".join(bodies), b"", True
        bodies.append(raw[line + 2 : end])
        start = end + 2
    return b"".join(bodies), raw[start:], False


def _event(text: bytes) -> dict[str, Any]:
    has_id, data = False, None
    for line in text.split(b"\n"):
        if line.startswith(b"data: ") and data is None:
            data = line[6:]
        elif line.startswith(b"id: "):
            has_id = True
        else:
            raise StreamError(f"a line that the wire does not have: {line[:80]!r}")
    if data is None or not has_id:
        raise StreamError(f"an event without id or data: {text[:80]!r}")
    try:
        body = msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.MsgspecError as wrong:
        raise StreamError(f"not JSON: {wrong}") from wrong
    return body

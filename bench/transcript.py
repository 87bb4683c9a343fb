"""Parser of the recorded reads of a stream: HTTP chunks, events, and the arrival time of each event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

_LINE = b"\r\n"
_TEXT = 0x81  # first byte of a whole text message
_CLOSE = 0x88


class StreamError(Exception):
    """Violation of the wire format by a stream."""


class Arrival(NamedTuple):
    """Event with the arrival time of its last byte."""

    at: float
    body: dict[str, Any]


class Transcript(msgspec.Struct):
    """Recorded stream: the time of its request, its reads with their times, and the client's error, if any."""

    asked: float
    reads: Sequence[tuple[float, bytes]]
    why: str = ""

    def events(self) -> Iterator[Arrival]:
        """Yield the events of the stream.

        Raises:
            StreamError: the response is incomplete or not 200, or an event violates the wire format.
        """
        if self.why:
            raise StreamError(self.why)
        text = b""
        for at, data in _body(self.reads):
            # The JSON cannot contain line ends.
            text += data.replace(b"\r\n", b"\n")
            *whole, text = text.split(b"\n\n")
            for event in whole:
                yield Arrival(at, _event(event))
        if text:
            raise StreamError(f"ends inside an event: {text[:80]!r}")


class WebSocketTranscript(Transcript):
    """Recorded WebSocket with one run."""

    def events(self) -> Iterator[Arrival]:
        """Yield the events of the run.

        Raises:
            StreamError: the handshake failed, the connection did not end with a close frame, or a frame is invalid.
        """
        if self.why:
            raise StreamError(self.why)
        raw = b""
        in_head = True
        for at, data in self.reads:
            raw += data
            if in_head:
                head, end, rest = raw.partition(b"\r\n\r\n")
                if not end:
                    continue
                if not head.startswith(b"HTTP/1.1 101 "):
                    raise StreamError(f"status line {head.partition(_LINE)[0].decode(errors='replace')}")
                raw = rest
                in_head = False
            while len(raw) >= 4:
                size, start = (int.from_bytes(raw[2:4]), 4) if raw[1] == 126 else (raw[1], 2)
                if len(raw) < start + size:
                    break
                if raw[0] == _CLOSE:
                    return
                if raw[0] != _TEXT:
                    raise StreamError(f"unexpected frame: {raw[:80]!r}")
                yield Arrival(at, _decode(raw[start : start + size]))
                raw = raw[start + size :]
        raise StreamError("the connection has ended without a close frame")


def _body(reads: Sequence[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """Yield the body without headers and chunked framing, with the times of its reads."""
    raw = b""
    in_head = True
    for at, data in reads:
        raw += data
        if in_head:
            head, end, rest = raw.partition(b"\r\n\r\n")
            if not end:
                continue
            if not head.startswith(b"HTTP/1.1 200 "):
                status, _, _ = head.partition(b"\r\n")
                raise StreamError(f"status line {status.decode(errors='replace')}")
            if b"transfer-encoding: chunked" not in head.lower():
                raise StreamError("the response is not chunked")
            raw = rest
            in_head = False
        body, raw, last = _chunks(raw)
        if body:
            yield at, body
        if last:
            return
    raise StreamError("the response is incomplete")


def _chunks(raw: bytes) -> tuple[bytes, bytes, bool]:
    """Return the bodies of the complete chunks, the remaining bytes, and whether the last chunk was included."""
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
    has_id = False
    data = None
    for line in text.split(b"\n"):
        if line.startswith(b"data: ") and data is None:
            data = line[6:]
        elif line.startswith(b"id: "):
            has_id = True
        else:
            raise StreamError(f"unexpected line: {line[:80]!r}")
    if data is None or not has_id:
        raise StreamError(f"event without id or data: {text[:80]!r}")
    return _decode(data)


def _decode(data: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.MsgspecError as errors:
        raise StreamError(f"not JSON: {errors}") from errors
    return body

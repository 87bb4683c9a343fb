"""Streams in the wire format, for tests of the parsers."""

from __future__ import annotations

import json
from typing import Any

from bench.transcript import Transcript
from bench.workload import ANSWER, CHUNK_SIZE

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def events(ticks: int = 1) -> list[dict[str, Any]]:
    """Return the events of a stream with so many progress events, 2 s apart."""
    return [
        {"status": "initializing", "run_id": "r", "data": ""},
        *({"status": "processing", "elapsed_time": 2.0 * tick, "data": ""} for tick in range(ticks)),
        {"status": "processing_complete", "data": ""},
        *(
            {"status": "streaming", "is_complete": False, "data": ANSWER[start : start + CHUNK_SIZE]}
            for start in range(0, len(ANSWER), CHUNK_SIZE)
        ),
        {"status": "complete", "is_complete": True, "data": ""},
    ]


def frame(event: dict[str, Any], end: bytes = b"\n") -> bytes:
    """Encode an event."""
    return b"id: r/1.0" + end + b"data: " + json.dumps(event, ensure_ascii=False).encode() + end + end


def chunk(body: bytes) -> bytes:
    """Encode a chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def transcript(sent: list[tuple[float, dict[str, Any]]], asked: float = 0.0) -> Transcript:
    """Build the transcript of a stream with the arrival times of its events."""
    reads = [(asked, HEAD), *((at, chunk(frame(event))) for at, event in sent)]
    return Transcript(asked, [*reads, (reads[-1][0], b"0\r\n\r\n")])

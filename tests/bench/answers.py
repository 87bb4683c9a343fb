"""One stream of the wire, as a server would send it, for the tests of what reads it."""

from __future__ import annotations

import json
from typing import Any

from bench.transcript import Transcript
from bench.workload import ANSWER, PIECE

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def events(ticks: int = 1) -> list[dict[str, Any]]:
    """Give the events of a stream, with as many progress events, 2 s apart."""
    return [
        {"status": "initializing", "run_id": "r", "data": ""},
        *({"status": "processing", "elapsed_time": 2.0 * tick, "data": ""} for tick in range(ticks)),
        {"status": "processing_complete", "data": ""},
        *(
            {"status": "streaming", "is_complete": False, "data": ANSWER[start : start + PIECE]}
            for start in range(0, len(ANSWER), PIECE)
        ),
        {"status": "complete", "is_complete": True, "data": ""},
    ]


def frame(event: dict[str, Any], end: bytes = b"\n") -> bytes:
    """Write one event."""
    return b"id: r/1.0" + end + b"data: " + json.dumps(event, ensure_ascii=False).encode() + end + end


def chunk(body: bytes) -> bytes:
    """Write one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def transcript(sent: list[tuple[float, dict[str, Any]]], asked: float = 0.0) -> Transcript:
    """Make the transcript of a stream whose events came at these moments."""
    reads = [(asked, HEAD), *((at, chunk(frame(event))) for at, event in sent)]
    return Transcript(asked, [*reads, (reads[-1][0], b"0\r\n\r\n")])

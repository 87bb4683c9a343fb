"""Tests of the parser of received streams."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.transcript import Arrival, StreamError, Transcript, WebSocketTranscript
from tests.bench.answers import HEAD, chunk, events, frame

WHOLE = HEAD + b"".join(chunk(frame(event)) for event in events()) + b"0\r\n\r\n"


def _read(*reads: bytes) -> list[Arrival]:
    return list(Transcript(0.0, [(float(number), data) for number, data in enumerate(reads)]).events())


@given(st.lists(st.integers(0, len(WHOLE)), max_size=20))
def test_any_split_into_reads_yields_the_same_events(cuts: list[int]) -> None:
    """No event arrives before its last byte."""
    edges = [0, *sorted(cuts), len(WHOLE)]
    reads = [WHOLE[start:end] for start, end in pairwise(edges)]
    found = _read(*reads)
    assert [event.body for event in found] == events()
    assert [event.at for event in found] == sorted(event.at for event in found)


def test_an_event_arrives_with_its_last_byte() -> None:
    """With the read that completes its chunk."""
    body = chunk(frame({"status": "x"}))
    found = _read(HEAD + body[:-4], body[-4:], b"0\r\n\r\n")
    assert found == [Arrival(1.0, {"status": "x"})]


def test_lines_may_end_with_lf_or_crlf() -> None:
    """A chunk may contain several events."""
    body = frame({"n": 1}, b"\r\n") + frame({"n": 2})
    assert [event.body for event in _read(HEAD + chunk(body) + b"0\r\n\r\n")] == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "the response is incomplete"),
        (HEAD + chunk(frame({})), "the response is incomplete"),
        (b"HTTP/1.1 429 Too Many Requests\r\n\r\n", "status line HTTP/1.1 429 Too Many Requests"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "the response is not chunked"),
        (HEAD + chunk(b"data: {}\n\n") + b"0\r\n\r\n", "event without id or data"),
        (HEAD + chunk(b"id: 1\n\n") + b"0\r\n\r\n", "event without id or data"),
        (HEAD + chunk(b"id: 1\ndata: {\n\n") + b"0\r\n\r\n", "not JSON"),
        (HEAD + chunk(b"id: 1\ndata: []\n\n") + b"0\r\n\r\n", "not JSON"),
        (HEAD + chunk(b"event: ping\n\n") + b"0\r\n\r\n", "unexpected line"),
        (HEAD + chunk(b"id: 1\ndata: {}\n") + b"0\r\n\r\n", "ends inside an event"),
    ],
)
def test_an_invalid_stream_raises_an_error(raw: bytes, why: str) -> None:
    """The error states the reason."""
    with pytest.raises(StreamError, match=why):
        _read(raw)


def test_an_error_of_the_client_invalidates_the_stream() -> None:
    """Even if all events arrived before."""
    with pytest.raises(StreamError, match="connection broken"):
        list(Transcript(0.0, [(0.0, WHOLE)], "connection broken").events())


def _text_frame(body: dict) -> bytes:
    payload = msgspec.json.encode(body)
    return b"\x81" + (b"%c" % len(payload) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2)) + payload


UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
CLOSE = b"\x88\x02\x03\xe8"
FRAMES = UPGRADE + b"".join(map(_text_frame, [*events(), {"text": "x" * 300}])) + CLOSE


def _read_websocket(*reads: bytes) -> list[Arrival]:
    return list(WebSocketTranscript(0.0, [(float(number), data) for number, data in enumerate(reads)]).events())


@given(st.lists(st.integers(0, len(FRAMES)), max_size=20))
def test_any_split_of_a_websocket_yields_the_same_events(cuts: list[int]) -> None:
    """Its handshake, text frames and close frame."""
    edges = [0, *sorted(cuts), len(FRAMES)]
    found = _read_websocket(*(FRAMES[start:end] for start, end in pairwise(edges)))
    assert [event.body for event in found] == [*events(), {"text": "x" * 300}]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", "status line HTTP/1.1 401 Unauthorized"),
        (UPGRADE + _text_frame({}), "ended without a close frame"),
        (UPGRADE + b"\x82\x02{}" + CLOSE, "unexpected frame"),
        (UPGRADE + b"\x81\x02[]" + CLOSE, "not JSON"),
    ],
)
def test_an_invalid_websocket_raises_an_error(raw: bytes, why: str) -> None:
    """The error states the reason."""
    with pytest.raises(StreamError, match=why):
        _read_websocket(raw)

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.transcript import Arrival, StreamError, Transcript
from tests.bench.answers import HEAD, chunk, events, frame

WHOLE = HEAD + b"".join(chunk(frame(event)) for event in events()) + b"0\r\n\r\n"


def _read(*reads: bytes) -> list[Arrival]:
    return list(Transcript(0.0, [(float(number), data) for number, data in enumerate(reads)]).events())


@given(st.lists(st.integers(0, len(WHOLE)), max_size=20))
def test_any_cut(cuts: list[int]) -> None:
    """However the bytes are cut into reads, the events are the same, and none arrives before its last byte."""
    edges = [0, *sorted(cuts), len(WHOLE)]
    reads = [WHOLE[start:end] for start, end in pairwise(edges)]
    found = _read(*reads)
    assert [event.body for event in found] == events()
    assert [event.at for event in found] == sorted(event.at for event in found)


def test_moment_of_the_last_byte() -> None:
    """An event arrives with the read that completes its chunk."""
    body = chunk(frame({"status": "x"}))
    found = _read(HEAD + body[:-4], body[-4:], b"0\r\n\r\n")
    assert found == [Arrival(1.0, {"status": "x"})]


def test_two_forms_of_a_line_end() -> None:
    """Both CRLF and LF end lines, and several events may come in one chunk."""
    body = frame({"n": 1}, b"\r\n") + frame({"n": 2})
    assert [event.body for event in _read(HEAD + chunk(body) + b"0\r\n\r\n")] == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "the response has no end"),
        (HEAD + chunk(frame({})), "the response has no end"),
        (b"HTTP/1.1 429 Too Many Requests\r\n\r\n", "answered HTTP/1.1 429 Too Many Requests"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "the response is not chunked"),
        (HEAD + chunk(b"data: {}\n\n") + b"0\r\n\r\n", "an event without id or data"),
        (HEAD + chunk(b"id: 1\n\n") + b"0\r\n\r\n", "an event without id or data"),
        (HEAD + chunk(b"id: 1\ndata: {\n\n") + b"0\r\n\r\n", "not JSON"),
        (HEAD + chunk(b"id: 1\ndata: []\n\n") + b"0\r\n\r\n", "not JSON"),
        (HEAD + chunk(b"event: ping\n\n") + b"0\r\n\r\n", "a line that the wire does not have"),
        (HEAD + chunk(b"id: 1\ndata: {}\n") + b"0\r\n\r\n", "ends inside an event"),
    ],
)
def test_not_a_stream(raw: bytes, why: str) -> None:
    """What is not a whole stream of events is an error that says what is wrong."""
    with pytest.raises(StreamError, match=why):
        _read(raw)


def test_what_the_client_saw() -> None:
    """A stream that broke for the client is broken, whatever came before."""
    with pytest.raises(StreamError, match="connection broken"):
        list(Transcript(0.0, [(0.0, WHOLE)], "connection broken").events())

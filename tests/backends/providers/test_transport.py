"""Tests of the HTTP transport: the decoder of chunked bodies, and bodies on real connections."""

from __future__ import annotations

import gzip
import io
import socket
import threading
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.backends.providers.errors import ProviderError
from persona_stream.backends.providers.transport import (
    ChunkedDecoder,
    ProviderTransport,
    SessionPool,
    StreamedResponse,
    session_factory,
)
from persona_stream.core.clock import monotonic_wall_clock
from tests.backends.fake_provider import Provider, cut, cuts, http, provider, steps, stream
from tests.polling import wait_for


def framed(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def read(*reads: bytes) -> tuple[bytes, str]:
    """Return the decoded body, and how it ended."""
    chunks, body = ChunkedDecoder(), b""
    for one in reads:
        body += chunks.feed(one)
        if chunks.is_complete or chunks.is_broken:
            return body, "over" if chunks.is_complete else "broken"
    return body, "goes on"


CHUNKS = st.lists(st.binary(min_size=1, max_size=20) | st.sampled_from([b"\r\n", b"0\r\n\r\n", b"\n" * 300]))
SIZES = st.sampled_from([b"%x\r\n", b"%X\r\n", b"00%x\r\n", b"%x;name=value\r\n", b"%x \r\n", b"%x\n"])
ENDS = st.sampled_from([b"0\r\n\r\n", b"000\r\n\r\n", b"0;x\r\nName: value\r\nOther: value\r\n\r\n", b"0\n\n"])


@given(st.data())
def test_the_decoded_body_does_not_depend_on_the_reads(data: st.DataObject) -> None:
    """At once, split anywhere, or byte by byte."""
    chunks = data.draw(CHUNKS)
    sent = b"".join(data.draw(SIZES) % len(chunk) + chunk + b"\r\n" for chunk in chunks) + data.draw(ENDS)
    expected = (b"".join(chunks), "over")
    assert read(sent) == expected
    assert read(*(part for part in cuts(data, sent) if part)) == expected
    assert read(*(sent[at : at + 1] for at in range(len(sent)))) == expected
    assert python_read(sent) == expected


def test_all_bytes_that_have_arrived_are_decoded_at_once() -> None:
    """Also the part of an incomplete chunk."""
    assert ChunkedDecoder().feed(framed(b"Forty", b"-two", b".", end=b"9\r\n So")) == b"Forty-two. So"


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        pytest.param(b"Forty-two.\n", b"", id="no size"),
        pytest.param(b"-5\r\nForty\r\n", b"", id="less than nothing"),
        pytest.param(b"0x5\r\nForty\r\n", b"", id="a size of Python's"),
        pytest.param(b"1_0\r\nForty\r\n", b"", id="another one"),
        pytest.param("٥\r\nForty\r\n".encode(), b"", id="another script's digits"),
        pytest.param(b"f" * 16 + b"\r\nForty", b"", id="a size beyond all"),
        pytest.param(b"f" * 100_000, b"", id="a size without an end"),
        pytest.param(b"\r\n" * 100, b"", id="blank lines"),
        pytest.param(b"\n0\n\n", b"", id="a line before the first size"),
        pytest.param(b"5\r\nForty0\r\n\r\n", b"Forty", id="a size that follows without a line's end"),
        pytest.param(b"5\r\nForty\n0\r\n\r\n", b"Forty", id="a chunk that half a line's end closes"),
        pytest.param(b"5;" + b"x" * 100_000, b"", id="an extension without an end"),
        pytest.param(framed(b"Forty", end=b"0\r\n" + b"Name: value\r\n" * 10_000), b"Forty", id="endless trailers"),
        pytest.param(framed(b"Forty", end=b"two\r\n"), b"Forty", id="no size after a chunk"),
        pytest.param(b"5\r\nForty-two\r\n0\r\n\r\n", b"Forty", id="a chunk that is longer than it says"),
    ],
)
@pytest.mark.parametrize("step", [1, 1000, 1_000_000])
def test_an_invalid_chunk_breaks_the_body(sent: bytes, body: bytes, step: int) -> None:
    """At once, or at the size limit; bytes before it are returned."""
    reads = [sent[at : at + step] for at in range(0, len(sent), step)]
    assert read(*reads, b"") == (body, "broken")


@pytest.mark.parametrize("sent", [framed(b"Forty")[:cut] for cut in range(1, len(framed(b"Forty")))])
def test_a_truncated_body_is_broken(sent: bytes) -> None:
    """Wherever the connection closed."""
    body, ended = read(sent, b"")
    assert ended == "broken"
    assert b"Forty".startswith(body)


@given(st.binary(min_size=1) | st.lists(st.sampled_from([b"5", b"\r\n", b"\n", b"0", b";", b"Forty"])).map(b"".join))
def test_accepted_bodies_equal_those_of_pythons_client(sent: bytes) -> None:
    """The decoder is stricter, but never disagrees."""
    found = read(*([sent] if sent else []), b"")
    if found[1] == "over":
        assert python_read(sent) == found


def python_read(sent: bytes) -> tuple[bytes, str]:
    """Read a body with Python's HTTP client."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    class Socket(socket.socket):
        def makefile(self, *_: object, **__: object) -> io.BytesIO:  # type: ignore[override]  # all that is used of it
            return io.BytesIO(head + sent)

    with Socket() as paper:
        response = HTTPResponse(paper)
        response.begin()
        try:
            return response.read(), "over"
        except HTTPException:
            return b"", "broken"


WORDS = [b"Forty", b"-", b"two", b"."]
TEXT = b"".join(WORDS)


def post(served: Provider, read: Callable[[StreamedResponse], object], times: int = 1) -> object:
    """Read a response, several times on the same connection."""
    clock = monotonic_wall_clock()
    with session_factory(served.base_url)() as session:
        wire = ProviderTransport(served.base_url, {}, SessionPool(session, lambda: session), clock)
        for _ in range(times):
            with wire.post({}, clock() + 30, stream=True) as incoming:
                found = read(incoming)
    return found


@pytest.mark.parametrize(
    ("sent", "chunks"),
    [
        pytest.param(stream(*WORDS), [TEXT], id="in chunks"),
        pytest.param(stream(*WORDS).replace(b"0\r\n\r\n", b"0\r\nName: value\r\n\r\n"), [TEXT], id="with trailers"),
        pytest.param(http(200, TEXT), [TEXT], id="with a length"),
        pytest.param(http(200, b""), [], id="empty"),
        pytest.param(stream(), [], id="empty, in chunks"),
        pytest.param(http(200, gzip.compress(TEXT), "Content-Encoding: gzip"), [TEXT], id="compressed"),
        pytest.param(
            stream(*(bytes([byte]) for byte in gzip.compress(TEXT))).replace(
                b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n", 1
            ),
            [TEXT],
            id="compressed, in chunks",
        ),
    ],
)  # fmt: skip
def test_bodies_are_read_in_every_framing_and_encoding(sent: bytes, chunks: list[bytes]) -> None:
    """The connection is reused."""
    with provider(sent) as served:
        assert post(served, lambda incoming: list(incoming.chunks), times=3) == chunks
    assert served.connections == 1


def test_a_body_without_framing_ends_with_the_connection() -> None:
    """It counts as whole."""

    def send(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + TEXT)

    with provider(send) as served:
        assert post(served, lambda incoming: b"".join(incoming.chunks)) == TEXT


def test_bytes_before_a_broken_connection_are_returned() -> None:
    """The next read raises the error."""

    def read(incoming: StreamedResponse) -> bytes:
        chunk = next(incoming.chunks)
        with pytest.raises(ProviderError) as found:
            next(incoming.chunks)
        assert (found.value.kind, found.value.retryable) == ("unreachable", True)
        return chunk

    for sent in (cut(*WORDS), stream(*WORDS, is_whole=False) + b"two\r\n"):
        with provider(sent) as served:
            assert post(served, read) == TEXT


def test_has_buffered_data_shows_whether_more_has_arrived() -> None:
    """Without blocking, and also at the end of the body."""
    go_on = threading.Event()

    def read(incoming: StreamedResponse) -> list[bytes]:
        chunks = [next(incoming.chunks)]
        assert not incoming.has_buffered_data()
        go_on.set()
        wait_for(incoming.has_buffered_data, 5.0)
        chunks += incoming.chunks
        assert incoming.has_buffered_data()
        return chunks

    with provider(steps(b"Forty", go_on, b"-two.")) as served:
        assert b"".join(post(served, read)) == TEXT  # type: ignore[arg-type]  # what was read

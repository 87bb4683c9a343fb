"""Bodies on a real connection: all that has come is given at once, however it was sent."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable

import pytest

from persona_stream.backends.providers.errors import Trouble
from persona_stream.backends.providers.transport import Incoming, Sessions, Wire, session_for, surroundings_of
from persona_stream.core.clock import wall_clock
from tests.backends.stand_in import Provider, cut, http, provider, steps, stream
from tests.waiting import wait_for

WORDS = [b"Forty", b"-", b"two", b"."]
TEXT = b"".join(WORDS)


def posted(served: Provider, read: Callable[[Incoming], object], times: int = 1) -> object:
    """Read an answer, and do so again on the same connection."""
    clock = wall_clock()
    with session_for(surroundings_of(served.base_url)) as session:
        wire = Wire(served.base_url, {}, Sessions(session, lambda: session), clock)
        for _ in range(times):
            with wire.post({}, clock() + 30, stream=True) as incoming:
                found = read(incoming)
    return found


@pytest.mark.parametrize(
    ("sent", "pieces"),
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
def test_a_body_is_given_as_it_came(sent: bytes, pieces: list[bytes]) -> None:
    """And the connection is used again."""
    with provider(sent) as served:
        assert posted(served, lambda incoming: list(incoming.pieces), times=3) == pieces
    assert served.connections == 1


def test_a_body_that_the_connection_ends_is_whole() -> None:
    """There is nothing else that says where it ends."""

    def send(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + TEXT)

    with provider(send) as served:
        assert posted(served, lambda incoming: b"".join(incoming.pieces)) == TEXT


def test_what_came_before_a_break_is_given() -> None:
    """And then that it broke off."""

    def read(incoming: Incoming) -> bytes:
        piece = next(incoming.pieces)
        with pytest.raises(Trouble) as found:
            next(incoming.pieces)
        assert (found.value.kind, found.value.again) == ("unreachable", True)
        return piece

    for sent in (cut(*WORDS), stream(*WORDS, is_whole=False) + b"two\r\n"):
        with provider(sent) as served:
            assert posted(served, read) == TEXT


def test_it_is_seen_whether_more_has_come() -> None:
    """Without waiting for it, and to the end."""
    go_on = threading.Event()

    def read(incoming: Incoming) -> list[bytes]:
        pieces = [next(incoming.pieces)]
        assert not incoming.has_more()
        go_on.set()
        wait_for(incoming.has_more, 5.0)
        pieces += incoming.pieces
        assert incoming.has_more()
        return pieces

    with provider(steps(b"Forty", go_on, b"-two.")) as served:
        assert b"".join(posted(served, read)) == TEXT  # type: ignore[arg-type]  # what was read

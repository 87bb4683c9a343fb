"""Bodies, with a length and in chunks; tests/http/test_framing.py has those that lie, through a real server."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.server.http11 import BadBody, Body

NEXT = b"GET / HTTP/1.1\r\n"


class Once(io.RawIOBase):
    """A connection on which bytes come in these parts."""

    def __init__(self, *parts: bytes) -> None:
        super().__init__()
        self._parts = [part for part in parts if part]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:
        part = self._parts.pop(0) if self._parts else b""
        if len(part) > len(buffer):
            self._parts.insert(0, part[len(buffer) :])
        part = part[: len(buffer)]
        buffer[: len(part)] = part
        return len(part)


def body_of(*parts: bytes, length: int | None = None) -> tuple[Body, io.BufferedReader]:
    file = io.BufferedReader(Once(*parts), 64)
    return Body(file, length, None), file


def chunked(parts: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


@given(st.lists(st.binary(min_size=1, max_size=100), max_size=8), st.integers(1, 50), st.integers(1, 200))
def test_chunks_join_back_however_they_come_and_are_read(parts: list[bytes], split: int, size: int) -> None:
    """And what follows them is left where it is."""
    sent = chunked(parts) + NEXT
    body, file = body_of(*(sent[at : at + split] for at in range(0, len(sent), split)))
    read = b""
    while part := body.read(size):
        read += part
    assert read == b"".join(parts)
    assert body.is_over
    assert file.read() == NEXT


@given(st.binary(max_size=300), st.integers(1, 50))
def test_a_length_is_kept_to(data: bytes, split: int) -> None:
    """No byte more is read."""
    sent = data + NEXT
    body, file = body_of(*(sent[at : at + split] for at in range(0, len(sent), split)), length=len(data))
    assert body.read() == data
    assert body.is_over
    assert file.read() == NEXT


@pytest.mark.parametrize(
    ("sent", "length"),
    [(b"abc", 4), (b"", 1), (b"3\r\nab", None), (b"3\r\nabc", None), (b"3\r\nabc\r\n", None), (b"0\r\n", None)],
)
def test_a_body_that_breaks_off_is_never_over(sent: bytes, length: int | None) -> None:
    """Not at a second try either, when what comes might look like an end."""
    body, _ = body_of(sent, length=length)
    for _ in range(2):
        with pytest.raises(BadBody):
            body.read()
        body.drop(1000)
        assert not body.is_over


@pytest.mark.parametrize(("most", "is_over"), [(1000, True), (299, False)])
@pytest.mark.parametrize("length", [300, None])
def test_a_rest_is_read_if_it_is_small(most: int, is_over: bool, length: int | None) -> None:
    """A connection whose next request is near goes on, and any other ends."""
    sent = b"x" * 300 if length else chunked([b"x" * 100] * 3)
    body, file = body_of(*(sent[at : at + 50] for at in range(0, len(sent), 50)), NEXT, length=length)
    body.drop(most)
    assert body.is_over == is_over
    assert not is_over or file.read() == NEXT


def test_who_waits_for_an_invitation_gets_it_with_the_first_byte_that_is_wanted() -> None:
    """Once; and never for a body that nobody reads."""
    invited: list[bool] = []
    body = Body(io.BufferedReader(Once(b"abc")), 3, lambda: invited.append(True))
    body.drop(1000)
    assert (invited, body.is_over) == ([], False)
    assert body.read() == b"abc"
    assert invited == [True]

"""The law of heads; tests/http/test_framing.py has what hostile people send, through a real server.

Bodies, with a length and in chunks; tests/http/test_framing.py has those that lie, through a real server.

Fields as gevent and WSGI ask for them.
"""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.server.http11 import (
    BadBody,
    BadRequest,
    Body,
    Headers,
    is_field,
    parse_headers,
    validate_request_line,
)


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"M-SEARCH http://x/a?b=c#d HTTP/1.0\r\n",
        "GET /晚安 HTTP/1.1\r\n".encode(),
    ],
)
def test_a_request_line_of_http_1(line: bytes) -> None:
    """With any method and address, also one that nobody has encoded: that is the application's business."""
    validate_request_line(line)


@pytest.mark.parametrize(
    ("lines", "version"),
    [
        ([b"Host: x\r\n"], "HTTP/1.1"),
        ([], "HTTP/1.0"),
        ([b"host:x\r\n", b"Content-Length: 0 \r\n"], "HTTP/1.1"),
        ([b"HOST:\r\n", b"Transfer-Encoding: CHUNKED\t\r\n"], "HTTP/1.1"),
        ([b"Host: x\r\n", b"Accept: a\r\n", b"Accept: b\r\n", b"!#$%&'*+-.^_`|~: \xe4\t;\r\n"], "HTTP/1.1"),
    ],
)
def test_fields_that_say_one_thing(lines: list[bytes], version: str) -> None:
    """Also twice the same, where a second one adds to the first."""
    parse_headers(lines, version)


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Transfer-Encoding", "Content-Type", "Authorization"])
def test_what_is_said_once_is_not_said_twice(name: str) -> None:
    """One server would take the first, and another the last."""
    once = [b"Host: x\r\n"] if name != "Host" else []
    value = {"Content-Length": b"1", "Transfer-Encoding": b"chunked"}.get(name, b"a")
    field = b"%b: %b\r\n" % (name.encode(), value)
    parse_headers([*once, field], "HTTP/1.1")
    with pytest.raises(BadRequest, match="is there twice"):
        parse_headers([*once, field, field.lower()], "HTTP/1.1")


def test_the_largest_value_is_looked_at_once() -> None:
    """Spaces that end badly cost no more than others: looked at in every way, these would take minutes."""
    spaces = b" " * 1_000_000
    assert is_field(b"X-A:" + spaces + b"\r\n")
    assert not is_field(b"X-A:" + spaces + b"\x00\r\n")


@given(st.binary(max_size=50))
def test_no_bytes_make_a_field_of_two_lines(noise: bytes) -> None:
    """What passes has one end, one colon that counts, and nothing that a terminal or a log takes amiss."""
    for line in (noise, b"X-A: " + noise + b"\r\n", noise + b": a\r\n"):
        if is_field(line):
            assert line.endswith(b"\r\n")
            assert not set(line[:-2]) & {*range(9), *range(10, 32), 127}
            assert b" " not in line.partition(b":")[0]


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
        body.drain(1000)
        assert not body.is_over


@pytest.mark.parametrize(("most", "is_over"), [(1000, True), (299, False)])
@pytest.mark.parametrize("length", [300, None])
def test_a_rest_is_read_if_it_is_small(most: int, is_over: bool, length: int | None) -> None:
    """A connection whose next request is near goes on, and any other ends."""
    sent = b"x" * 300 if length else chunked([b"x" * 100] * 3)
    body, file = body_of(*(sent[at : at + 50] for at in range(0, len(sent), 50)), NEXT, length=length)
    body.drain(most)
    assert body.is_over == is_over
    assert not is_over or file.read() == NEXT


def test_who_waits_for_an_invitation_gets_it_with_the_first_byte_that_is_wanted() -> None:
    """Once; and never for a body that nobody reads."""
    invited: list[bool] = []
    body = Body(io.BufferedReader(Once(b"abc")), 3, lambda: invited.append(True))
    body.drain(1000)
    assert (invited, body.is_over) == ([], False)
    assert body.read() == b"abc"
    assert invited == [True]


FIELDS = Headers(
    [("Host", "x"), ("Content-Type", "a/b"), ("content-length", "0"), ("X-Real-Ip", "1"), ("X_Real_Ip", "2"),
     ("Accept", "a"), ("accept", "b")]
)  # fmt: skip


def test_a_field_is_found_by_its_name_in_any_case() -> None:
    """The first of its name; and what is not there is what the caller says."""
    assert (FIELDS.get("hOsT"), FIELDS.getheader("accept"), FIELDS.get("x"), FIELDS.get("x", "")) == (
        "x",
        "a",
        None,
        "",
    )
    assert (FIELDS.typeheader, FIELDS.status) == ("a/b", "")


def test_variables_are_those_of_wsgi() -> None:
    """All of them in their order, but those with names of their own, and those that could be taken for another."""
    assert list(FIELDS.variables()) == [
        ("HTTP_HOST", "x"), ("HTTP_X_REAL_IP", "1"), ("HTTP_ACCEPT", "a"), ("HTTP_ACCEPT", "b"),
    ]  # fmt: skip


def test_a_field_can_be_forgotten() -> None:
    """Which gevent does to a length, where a body is in chunks."""
    fields = Headers([("Host", "x")])
    del fields["host"]
    assert fields.get("Host") is None
    with pytest.raises(KeyError):
        del fields["content-length"]

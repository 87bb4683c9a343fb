"""The law of heads; tests/http/test_framing.py has what hostile people send, through a real server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.server.http11 import BadHead, check_request_line, is_field, read_fields


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
    check_request_line(line)


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
    read_fields(lines, version)


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Transfer-Encoding", "Content-Type", "Authorization"])
def test_what_is_said_once_is_not_said_twice(name: str) -> None:
    """One server would take the first, and another the last."""
    once = [b"Host: x\r\n"] if name != "Host" else []
    value = {"Content-Length": b"1", "Transfer-Encoding": b"chunked"}.get(name, b"a")
    field = b"%b: %b\r\n" % (name.encode(), value)
    read_fields([*once, field], "HTTP/1.1")
    with pytest.raises(BadHead, match="is there twice"):
        read_fields([*once, field, field.lower()], "HTTP/1.1")


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

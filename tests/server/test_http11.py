"""Parser of heads and bodies; ``tests/http/test_framing.py`` sends hostile ones to a real server."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.server.http11 import (
    BadBody,
    BadRequest,
    Headers,
    RequestBody,
    is_continue_expected,
    is_field,
    is_persistent,
    parse_headers,
    split_target,
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
def test_any_method_and_target_of_http_1_is_accepted(line: bytes) -> None:
    """An unencoded target is left to the application."""
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
def test_unambiguous_fields_are_accepted(lines: list[bytes], version: str) -> None:
    """Fields whose values form a list may be repeated."""
    parse_headers(lines, version)


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Transfer-Encoding", "Content-Type", "Authorization"])
def test_a_repeated_field_is_refused(name: str) -> None:
    """One server would use the first value, and another the last."""
    host = [b"Host: x\r\n"] if name != "Host" else []
    value = {"Content-Length": b"1", "Transfer-Encoding": b"chunked"}.get(name, b"a")
    field = b"%b: %b\r\n" % (name.encode(), value)
    parse_headers([*host, field], "HTTP/1.1")
    with pytest.raises(BadRequest, match="is repeated"):
        parse_headers([*host, field, field.lower()], "HTTP/1.1")


def test_a_large_value_is_parsed_in_linear_time() -> None:
    """A pattern that backtracks would take minutes."""
    spaces = b" " * 1_000_000
    assert is_field(b"X-A:" + spaces + b"\r\n")
    assert not is_field(b"X-A:" + spaces + b"\x00\r\n")


@given(st.binary(max_size=50))
def test_a_field_has_one_line_and_no_control_characters(noise: bytes) -> None:
    """Its name has no space."""
    for line in (noise, b"X-A: " + noise + b"\r\n", noise + b": a\r\n"):
        if is_field(line):
            assert line.endswith(b"\r\n")
            assert not set(line[:-2]) & {*range(9), *range(10, 32), 127}
            assert b" " not in line.partition(b":")[0]


NEXT = b"GET / HTTP/1.1\r\n"


class FakeConnection(io.RawIOBase):
    """Connection on which bytes arrive in these parts."""

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


def body_of(*parts: bytes, length: int | None = None) -> tuple[RequestBody, io.BufferedReader]:
    file = io.BufferedReader(FakeConnection(*parts), 64)
    return RequestBody(file, length, None), file


def chunked(parts: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


@given(st.lists(st.binary(min_size=1, max_size=100), max_size=8), st.integers(1, 50), st.integers(1, 200))
def test_chunks_join_back_for_every_split_and_read_size(parts: list[bytes], split: int, size: int) -> None:
    """The bytes after them are left on the connection."""
    sent = chunked(parts) + NEXT
    body, file = body_of(*(sent[at : at + split] for at in range(0, len(sent), split)))
    read = b""
    while part := body.read(size):
        read += part
    assert read == b"".join(parts)
    assert body.is_over
    assert file.read() == NEXT


@given(st.binary(max_size=300), st.integers(1, 50))
def test_a_body_with_a_length_ends_there(data: bytes, split: int) -> None:
    """The bytes after it are left on the connection."""
    sent = data + NEXT
    body, file = body_of(*(sent[at : at + split] for at in range(0, len(sent), split)), length=len(data))
    assert body.read() == data
    assert body.is_over
    assert file.read() == NEXT


@pytest.mark.parametrize(
    ("sent", "length"),
    [(b"abc", 4), (b"", 1), (b"3\r\nab", None), (b"3\r\nabc", None), (b"3\r\nabc\r\n", None), (b"0\r\n", None)],
)
def test_a_truncated_body_never_ends(sent: bytes, length: int | None) -> None:
    """A second read fails too."""
    body, _ = body_of(sent, length=length)
    for _ in range(2):
        with pytest.raises(BadBody):
            body.read()
        body.drain(1000)
        assert not body.is_over


@pytest.mark.parametrize(("max_bytes", "is_over"), [(1000, True), (299, False)])
@pytest.mark.parametrize("length", [300, None])
def test_a_small_rest_is_drained(max_bytes: int, is_over: bool, length: int | None) -> None:
    """The connection continues only then."""
    sent = b"x" * 300 if length else chunked([b"x" * 100] * 3)
    body, file = body_of(*(sent[at : at + 50] for at in range(0, len(sent), 50)), NEXT, length=length)
    body.drain(max_bytes)
    assert body.is_over == is_over
    assert not is_over or file.read() == NEXT


def test_100_continue_is_sent_at_the_first_read() -> None:
    """It is sent once, and not for a body that is not read."""
    invited: list[bool] = []
    body = RequestBody(io.BufferedReader(FakeConnection(b"abc")), 3, lambda: invited.append(True))
    body.drain(1000)
    assert (invited, body.is_over) == ([], False)
    assert body.read() == b"abc"
    assert invited == [True]


FIELDS = Headers(
    [("Host", "x"), ("Content-Type", "a/b"), ("content-length", "0"), ("X-Real-Ip", "1"), ("X_Real_Ip", "2"),
     ("Accept", "a"), ("accept", "b")]
)  # fmt: skip


def test_a_field_is_found_by_its_name_in_any_case() -> None:
    """The first one counts, and a missing one has the default."""
    assert (FIELDS.get("hOsT"), FIELDS.getheader("accept"), FIELDS.get("x"), FIELDS.get("x", "")) == (
        "x",
        "a",
        None,
        "",
    )
    assert (FIELDS.typeheader, FIELDS.status) == ("a/b", "")


def test_variables_have_the_names_of_wsgi() -> None:
    """Fields with other names in WSGI and fields with an underscore are left out."""
    assert list(FIELDS.variables()) == [
        ("HTTP_HOST", "x"), ("HTTP_X_REAL_IP", "1"), ("HTTP_ACCEPT", "a"), ("HTTP_ACCEPT", "b"),
    ]  # fmt: skip


def test_a_field_can_be_removed() -> None:
    """gevent removes the length of a chunked body."""
    fields = Headers([("Host", "x")])
    del fields["host"]
    assert fields.get("Host") is None
    with pytest.raises(KeyError):
        del fields["content-length"]


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        ("/a?b=http://c/", "/a?b=http://c/", None),
        ("//a", "//a", None),
        ("*", "*", None),
        ("http://127.0.0.1:8000/", "/", "127.0.0.1:8000"),  # python/cpython #132741
        ("http://localhost:5100/healthcheck", "/healthcheck", "localhost:5100"),  # pallets/werkzeug PR 248
        (
            "https://host/soap?wsdl",
            "/soap?wsdl",
            "host",
        ),  # DHCW-Digital-Health-and-Care-Wales/Integration-Hub-Beta PR 316
        ("http://www.w3.org/pub/WWW/TheProject.html", "/pub/WWW/TheProject.html", "www.w3.org"),  # unbit/uwsgi #958
        ("http://evil.com/page", "/page", "evil.com"),  # Pylons/waitress #467
        ("http://x", "/", "x"),  # gawel/WSGIProxy2 PR 20
        ("HTTP://[::1]:80?a=b", "/?a=b", "[::1]:80"),
    ],
)
def test_a_target_is_split_into_its_path_and_its_host(target: str, path: str, host: str | None) -> None:
    """A proxy may pass the absolute form on (RFC 9112 §3.2.2; gevent/gevent #140)."""
    assert split_target(target) == (path, host)


@pytest.mark.parametrize(
    "target", ["a", "example.org:443", "ftp://x/", "http:///", "http://u:p@x/", "http://x y/", "?a"]
)
def test_a_target_that_is_neither_a_path_nor_a_url_is_refused(target: str) -> None:
    """Nor is user information accepted, which hides the host from a reader (RFC 9110 §4.2.4)."""
    with pytest.raises(BadRequest, match="the target must be"):
        split_target(target)


def test_a_replaced_field_has_one_value() -> None:
    """In both views of the fields."""
    fields = Headers([("host", "a"), ("X-A", "b")])
    fields.replace("Host", "c")
    assert (fields.get("host"), list(fields.variables())) == ("c", [("HTTP_X_A", "b"), ("HTTP_HOST", "c")])


@pytest.mark.parametrize(
    ("connection", "version", "is_open"),
    [
        ("", "HTTP/1.1", True),
        ("keep-alive", "HTTP/1.1", True),
        ("TE,\tClose ", "HTTP/1.1", False),
        ("close, keep-alive", "HTTP/1.1", False),
        ("closed", "HTTP/1.1", True),
        ("", "HTTP/1.0", False),
        ("TE, Keep-Alive", "HTTP/1.0", True),
        ("close, keep-alive", "HTTP/1.0", False),
    ],
)
def test_the_options_of_a_connection_decide_whether_it_remains_open(
    connection: str, version: str, is_open: bool
) -> None:
    """RFC 9112 §9.3: close has precedence, and HTTP/1.0 must ask for it."""
    assert is_persistent(connection, version) is is_open


@pytest.mark.parametrize(
    ("expect", "version", "is_expected"),
    [
        ("100-Continue", "HTTP/1.1", True),
        ("100-continue", "HTTP/1.0", False),
        ("200-ok", "HTTP/1.1", False),
        ("", "HTTP/1.1", False),
    ],
)
def test_only_http_1_1_waits_for_100_continue(expect: str, version: str, is_expected: bool) -> None:
    """RFC 9110 §10.1.1."""
    assert is_continue_expected(expect, version) is is_expected


def test_all_values_of_a_field_are_joined() -> None:
    """In their order; a missing field has none."""
    headers = Headers([("Connection", "TE"), ("Host", "x"), ("connection", "close")])
    assert headers.joined("Connection") == "TE,close"
    assert headers.joined("Via") == ""

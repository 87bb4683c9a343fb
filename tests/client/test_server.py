"""Addresses and tokens."""

from __future__ import annotations

import pytest

from persona_stream.client.models import BadAddressError, BadTokenError, Server


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://127.0.0.1:5001", "http://127.0.0.1:5001/api/chat"),
        ("http://127.0.0.1:5001/", "http://127.0.0.1:5001/api/chat"),
        ("https://example.org/below/here/", "https://example.org/below/here/api/chat"),
        ("http://[::1]:5001", "http://[::1]:5001/api/chat"),
    ],
)
def test_paths_go_below_the_address(url: str, path: str) -> None:
    """A prefix is kept, and a slash at the end is no matter."""
    assert Server(url, "t").at("/api/chat") == path


@pytest.mark.parametrize(
    "url",
    ["", "localhost:5001", "127.0.0.1", "ftp://x", "http://", "http://:80", "http://x:99999", "http://x:y", "http://x:0",
     "http://[::1", "http://x y", "http://x/?a=1", "http://x/#a", "http://x\n", "file:///etc/passwd"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(BadAddressError):
        Server(url, "t")


def test_a_token_loses_the_space_around_it() -> None:
    """It was pasted; and it is not shown by accident."""
    server = Server("http://x", " abc.def\n")
    assert server.token == "abc.def"
    assert "abc" not in repr(server)


@pytest.mark.parametrize("token", ["", "  ", "Bearer abc", "a\nb", "a\x00", "tökén", "令牌"])
def test_what_no_header_can_carry_is_no_token(token: str) -> None:
    """It is said here, and not as an error of some library."""
    with pytest.raises(BadTokenError):
        Server("http://x", token)

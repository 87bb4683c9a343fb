"""Tests of forwarded headers behind trusted proxies."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_stream.web.proxy_fix import TrustedProxyFix, forwarded_environ

TRUSTED = tuple(ip_network(text) for text in ("10.0.0.0/8", "192.0.2.1", "::1", "fd00::/8"))
LONG = ".".join(["a" * 63] * 4)


def seen(peer: str, **headers: str) -> dict[str, str]:
    environ = {"REMOTE_ADDR": peer, **{f"HTTP_X_FORWARDED_{name.upper()}": value for name, value in headers.items()}}
    return forwarded_environ(environ, TRUSTED)


@pytest.mark.parametrize(
    ("peer", "hops", "client"),
    [
        # No headers, or empty ones.
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", " , ,", "10.0.0.1"),
        # One hop, several, and what a client wrote before them.
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2,192.0.2.1", "203.0.113.9"),
        ("10.0.0.1", "127.0.0.1, 10.9.9.9, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "10.9.9.9, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "192.0.2.2, 192.0.2.1", "192.0.2.2"),
        # All of them ours: the first one asked.
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        # Ports, brackets, IPv6, IPv4 in IPv6's clothes, white space.
        ("10.0.0.1", "203.0.113.9:50111", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::9]:50111", "2001:db8::9"),
        ("10.0.0.1", "[2001:db8::9]", "2001:db8::9"),
        ("10.0.0.1", "2001:DB8:0::9", "2001:db8::9"),
        ("::1", "203.0.113.9, [fd00::5]:80", "203.0.113.9"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, ::ffff:10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("fd00::1%eth0", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "\t203.0.113.9 \t", "203.0.113.9"),
        # Garbage ends the walk: the last that is known is the client.
        ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "203.0.113.9, , 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "203.0.113.9,", "10.0.0.1"),
        *(
            ("10.0.0.1", wrong, "10.0.0.1")
            for wrong in (
                "203.0.113.256",
                "203.0.113",
                "0203.0.113.9",
                "203.0.113.9:",
                "203.0.113.9:1234567",
                "203.0.113.9 10.0.0.1",
                "[203.0.113.9]",
                "[2001:db8::9",
                "2001:db8::9]:80",
                "[2001:db8::9]80",
                "[::1]]",
                "fe80::1%eth0",
                "1::2::3",
                "١.1.1.1",
                "3405803785",
                "0x7f000001",
                "<script>",
                '"203.0.113.9"',
                "for=203.0.113.9",
                "_hidden",
                "203.0.113.9\n",
                "\u00a0203.0.113.9",
                "9" * 100_000,
                ":" * 100_000,
            )
        ),
    ],
)
def test_the_client_is_the_rightmost_untrusted_address(peer: str, hops: str, client: str) -> None:
    """The client itself may have written everything to its left."""
    assert seen(peer, **{"for": hops})["REMOTE_ADDR"] == client


@pytest.mark.parametrize("peer", ["203.0.113.9", "11.0.0.1", "192.0.2.2", "2001:db8::1", "::2", "", "unix:", "10.0.0"])
def test_headers_of_an_untrusted_peer_are_ignored(peer: str) -> None:
    """No header changes anything."""
    assert seen(peer, **{"for": "10.0.0.1", "proto": "https", "host": "evil.example"}) == {}


@pytest.mark.parametrize(
    ("value", "scheme"),
    [
        ("https", "https"),
        ("HTTPS", "https"),
        ("http", "http"),
        ("http, https", "https"),
        ("https,http", "http"),
        *((wrong, None) for wrong in ("", "ws", "https,", "https;", "javascript", "https http", "ｈttps", "file")),
    ],
)
def test_the_scheme_is_http_or_https(value: str, scheme: str | None) -> None:
    """As written by the nearest hop."""
    assert seen("10.0.0.1", proto=value).get("wsgi.url_scheme") == scheme


@pytest.mark.parametrize(
    ("value", "host"),
    [
        *(
            (host, host)
            for host in (
                "chat.example.com",
                "chat.example.com:8443",
                "localhost",
                "a.b.",
                "my_host:1",
                "203.0.113.9",
                "[2001:db8::1]",
                "[2001:db8::1]:65535",
                "xn--bcher-kva.example",
            )
        ),
        ("evil.example, chat.example.com", "chat.example.com"),
        ("chat.example.com, evil.example:99999", None),
        *(
            (wrong, None)
            for wrong in (
                "",
                "a b",
                "a/b",
                "a@b",
                "a?b",
                "a#b",
                "a\\b",
                "a..b",
                ".a",
                "-a",
                "a-",
                "a:",
                "a:0",
                "a:65536",
                "a:x",
                "a:1:2",
                "[::1",
                "[1.2.3.4]",
                "[::1]a",
                "[1::2::3]",
                "::1",
                "bücher.example",
                "a\r\nb",
                "a\n",
                "a:٣",
                "a" * 64,
                f"{LONG}.aaaaaaaa",
                "a." * 100_000,
            )
        ),
    ],
)
def test_a_host_is_a_name_or_an_address_with_an_optional_port(value: str, host: str | None) -> None:
    """Anything else never appears in a URL of the server."""
    assert seen("10.0.0.1", host=value).get("HTTP_HOST") == host


def test_the_application_sees_the_request_as_the_proxy_did() -> None:
    """All other variables are unchanged."""
    environ: dict[str, Any] = {"REMOTE_ADDR": "::1", "HTTP_X_FORWARDED_FOR": "203.0.113.9", "PATH_INFO": "/x"}
    got: list[dict[str, Any]] = []

    def application(environ: dict[str, Any], start_response: object) -> list[bytes]:
        got.append(environ)
        return [b"answer"]

    assert TrustedProxyFix(application, TRUSTED)(environ, lambda *_: None) == [b"answer"]
    assert got[0] is environ
    assert environ == {"REMOTE_ADDR": "203.0.113.9", "HTTP_X_FORWARDED_FOR": "203.0.113.9", "PATH_INFO": "/x"}


@given(st.text(), st.text(), st.text())
def test_no_header_raises_an_error(hops: str, scheme: str, host: str) -> None:
    """It is applied or ignored."""
    assert seen("10.0.0.1", **{"for": hops, "proto": scheme, "host": host})["REMOTE_ADDR"]


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        ("/ai", "/ai"),
        ("/ai/", "/ai"),
        ("/team-1/ai_2", "/team-1/ai_2"),
        ("/client, /ai", "/ai"),
        ("/...", "/..."),
        *(
            (wrong, None)
            for wrong in (
                "", "/", "ai", "//evil.example", "/ai//x", "/ai/../..", "/..", "/.", "/ai/.", "/ai\r\nX: y", "/a\x7f",
                "/ai?x", "/ai#x", "/a b", "/%2e%2e", "\\ai", "/é", "https://evil.example", '/"onload=', "/a" * 200,
            )
        ),
    ],
)  # fmt: skip
def test_the_prefix_is_a_plain_path(value: str, prefix: str | None) -> None:
    """Anything else could lead to another host, or break a header or a page."""
    assert seen("10.0.0.1", prefix=value).get("SCRIPT_NAME") == prefix
    assert seen("203.0.113.9", prefix=value) == {}


def test_the_prefix_stands_before_that_of_a_mount() -> None:
    """The proxy removes its own prefix only."""
    environ = {"REMOTE_ADDR": "10.0.0.1", "SCRIPT_NAME": "/mounted", "HTTP_X_FORWARDED_PREFIX": "/ai"}
    assert forwarded_environ(environ, TRUSTED)["SCRIPT_NAME"] == "/ai/mounted"

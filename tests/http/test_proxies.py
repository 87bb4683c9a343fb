"""The setting trusted_proxies, on a real server."""

from __future__ import annotations

import subprocess
import sys

import pytest
import requests

from tests.http.test_other_servers import running

CLAIMS = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "chat.example.com"}


@pytest.mark.parametrize(
    ("trusted", "address", "url"),
    [
        ("127.0.0.0/8", "203.0.113.9", "https://chat.example.com/seen"),
        ("10.0.0.0/8", "127.0.0.1", "http://us.example/seen"),
        ("", "127.0.0.1", "http://us.example/seen"),
    ],
)
def test_forwarded_headers_count_if_the_proxy_is_trusted(trusted: str, address: str, url: str):
    """In each request of a connection; similar names do not count."""
    with running("-m", "tests.http.address_server", "PORT", trusted) as (server, _), requests.Session() as session:
        for _ in range(2):
            got = session.get(f"{server}/seen", headers={"Host": "us.example", **CLAIMS}, timeout=10)
            assert got.json() == [address, url]
        # WSGI names this as the header it is not, and a proxy may let it pass.
        other = session.get(f"{server}/seen", headers={"Host": "us.example", "X_Forwarded_For": "1.1.1.1"}, timeout=10)
        assert other.json() == ["127.0.0.1", "http://us.example/seen"]


def test_an_invalid_setting_stops_the_start():
    """With one sentence."""
    command = [sys.executable, "-m", "persona_stream", "serve", "--trusted-proxies", "nginx"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode != 0
    assert "--trusted-proxies must be a list of IP addresses or networks" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1

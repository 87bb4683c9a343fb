"""Requests to a server without authentication."""

from __future__ import annotations

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from persona_stream.errors import Forbidden
from persona_stream.web.local_access import require_local_request


def request(
    method: str = "POST", host: str = "127.0.0.1:5001", peer: str = "127.0.0.1", **headers: str
) -> Request:  # fmt: skip
    """Return a request; an underscore in a name stands for a hyphen."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    builder = EnvironBuilder(method=method, headers={"Host": host, **named}, environ_overrides={"REMOTE_ADDR": peer})
    return Request(builder.get_environ())


def refused(found: Request) -> str:
    with pytest.raises(Forbidden) as caught:
        require_local_request(found)
    return caught.value.message


@pytest.mark.parametrize("host", ["127.0.0.1:5001", "localhost", "LOCALHOST:80", "[::1]:5001", "127.8.9.1"])
def test_programs_of_this_machine_are_served(host: str) -> None:
    """They send neither Origin nor Sec-Fetch-Site."""
    require_local_request(request(host=host))
    require_local_request(request(host=host, peer="::1"))


@pytest.mark.parametrize("host", ["evil.example:5001", "127.0.0.1.evil.example", "localhost.evil.example", "[::1", ""])
def test_a_rebound_domain_is_refused(host: str) -> None:
    """To the browser, a page of that domain has the same origin as this server."""
    headers = {"Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    assert "Host must be" in refused(request(host=host, **headers))


@pytest.mark.parametrize("peer", ["192.0.2.7", "", "10.0.0.1"])
def test_another_machine_is_refused(peer: str) -> None:
    """Its Host header can claim anything."""
    assert "its own machine only" in refused(request(peer=peer, host="localhost"))


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "https://127.0.0.1:5001"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},
    ],
)
def test_a_page_of_another_origin_is_refused(headers: dict[str, str]) -> None:
    """Also one on another port of this machine, and one that submits a form."""
    assert "other origins" in refused(request(**headers))


def test_the_servers_own_page_is_served() -> None:
    """So is its address, typed or behind a link."""
    require_local_request(request(Origin="http://127.0.0.1:5001", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors"))
    require_local_request(request("GET", Sec_Fetch_Site="none", Sec_Fetch_Mode="navigate"))
    require_local_request(request("GET", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate"))

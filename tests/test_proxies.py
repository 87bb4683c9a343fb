"""Choice of the proxy from the environment."""

from __future__ import annotations

import importlib.util

import pytest

from persona_stream.proxies import UnusableProxy, find_proxies, is_this_machine

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST.", "api.localhost", "127.0.0.1", "127.8.9.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"],
)
def test_names_and_addresses_of_this_machine_are_recognised(host: str) -> None:
    """NousResearch/hermes-agent PR 5834, axios/axios #2667."""
    assert is_this_machine(host)


@pytest.mark.parametrize("host", ["", "example.org", "localhost.example.org", "10.0.0.1", "fe80::1%lo", "128.0.0.1"])
def test_other_hosts_are_not_this_machine(host: str) -> None:
    """Neither are private addresses, which a proxy may reach."""
    assert not is_this_machine(host)


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "nonsense://x"])
def test_a_request_to_this_machine_is_direct(monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str) -> None:
    """AgentFlocks/flocks PR 158, urschrei/pyzotero PR 375, httpie/cli #79."""
    monkeypatch.setenv(variable, proxy)
    assert find_proxies("http://127.0.0.1:11434/v1") == {}
    assert find_proxies("http://[::1]:11434/v1") == {}


def test_another_host_is_asked_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless NO_PROXY names it."""
    monkeypatch.setenv("HTTPS_PROXY", "http://me:pw@proxy.example:3128")
    assert find_proxies("https://api.example.org/v1")["https"] == "http://me:pw@proxy.example:3128"
    monkeypatch.setenv("NO_PROXY", "example.org")
    assert find_proxies("https://api.example.org/v1") == {}


@pytest.mark.parametrize(
    "proxy",
    ["socks5://127.0.0.1:9", "socks5h://me:pw@127.0.0.1:9", "socks4://127.0.0.1:9", "SOCKS5://127.0.0.1:9"],
)
def test_a_socks_proxy_without_its_library_is_named(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """encode/httpx #3195, Azure/azure-cli #18930, SickChill/sickchill #8421, docker/compose #4895."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(UnusableProxy, match=r"127.0.0.1:9 \(ALL_PROXY\) needs the package PySocks") as caught:
        find_proxies("https://api.example.org/v1")
    assert "me:pw" not in str(caught.value)


def test_a_socks_proxy_with_its_library_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same variable then needs no change."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    assert find_proxies("https://api.example.org/v1")["all"] == "socks5h://127.0.0.1:9"


@pytest.mark.parametrize("proxy", ["socks://proxy.hcm.example:80/", "ftp://proxy.example"])
def test_a_proxy_of_an_unknown_kind_is_named(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """psf/requests #3516: ``socks://`` names no version of SOCKS."""
    monkeypatch.setenv("all_proxy", proxy)
    with pytest.raises(UnusableProxy, match=r"\(all_proxy\) is of an unknown kind"):
        find_proxies("https://api.example.org/v1")


@pytest.mark.parametrize("proxy", ["proxy.example:3128", "127.0.0.1:3128", "https://proxy.example"])
def test_http_proxies_need_no_library(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """Also without a scheme."""
    monkeypatch.setenv("https_proxy", proxy)
    assert find_proxies("https://api.example.org/v1")["https"] == proxy

"""HTTP proxies of outgoing requests, chosen by the environment (``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``).

Invariants:
    A request to this machine uses no proxy: one is seldom intended there, and a proxy cannot reach it.
    A proxy that this installation cannot use is an error before the first request.
"""

import importlib.util
import ipaddress
import os
from urllib.parse import urlsplit

from requests import utils

from persona_stream.errors import ConfigurationError

_SOCKS_SCHEMES = ("socks4", "socks4a", "socks5", "socks5h")


class UnusableProxy(ConfigurationError):
    """Proxy that this installation cannot use.

    Attributes:
        proxy: Its URL without credentials.
        variable: Environment variable that names it.
        needs_socks: Whether it is a SOCKS proxy, for which a library is missing; else its kind is unknown.
    """

    def __init__(self, proxy: str, variable: str, *, needs_socks: bool) -> None:
        problem = "needs the package PySocks: pip install pysocks" if needs_socks else "is of an unknown kind"
        super().__init__(f"The proxy {proxy} ({variable}) {problem}; or exempt the host with NO_PROXY")
        self.proxy = proxy
        self.variable = variable
        self.needs_socks = needs_socks


def is_this_machine(host: str) -> bool:
    """Return whether a host name or address means the machine of this process, whatever its interfaces."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def find_proxies(url: str) -> dict[str, str]:
    """Return the proxies for requests to a URL, by scheme as ``requests`` expects them; empty for a direct request.

    Raises:
        UnusableProxy: The proxy that applies to the URL is a SOCKS proxy without its library, or of an unknown kind.
    """
    if is_this_machine(urlsplit(url).hostname or ""):
        return {}
    proxies: dict[str, str] = utils.get_environ_proxies(url)
    proxy = utils.select_proxy(url, proxies)
    if proxy:
        _require_usable(proxy)
    return proxies


def _require_usable(proxy: str) -> None:
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    is_socks = parts.scheme in _SOCKS_SCHEMES
    if parts.scheme in ("http", "https") or (is_socks and importlib.util.find_spec("socks")):
        return
    variables = (name for name, value in os.environ.items() if name.lower().endswith("_proxy") and value == proxy)
    location = parts.netloc.rpartition("@")[2]
    raise UnusableProxy(f"{parts.scheme}://{location}", next(variables, "proxy settings"), needs_socks=is_socks)

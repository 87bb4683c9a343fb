"""Trusted proxies: client address, scheme, host and path prefix from the ``X-Forwarded-*`` headers.

Anyone can send these headers. They count only if the peer of the connection is a trusted proxy, and
``X-Forwarded-For`` only as far as trusted proxies wrote it: each hop appends its peer at the right.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Address = IPv4Address | IPv6Address
Networks = Sequence[IPv4Network | IPv6Network]

_IPV6 = r"[0-9A-Fa-f]*:[0-9A-Fa-f:.]{1,40}"
_ADDRESS = re.compile(
    rf"\[(?P<bracketed>{_IPV6})\](?::\d{{1,5}})?|(?P<ipv4>[\d.]{{7,15}})(?::\d{{1,5}})?|(?P<ipv6>{_IPV6})", re.ASCII
)
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*\.?|\[(?P<ipv6>{_IPV6})\])(?::(?P<port>\d{{1,5}}))?", re.ASCII)
_MAX_HOST_CHARACTERS = 259  # a name of 253 characters, a colon and a port
_MAX_PORT = 65535
_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+", re.ASCII)
_MAX_PREFIX_CHARACTERS = 256


class TrustedProxyFix:
    """WSGI middleware that removes trusted proxies from the application's view of a request."""

    def __init__(self, application: Application, trusted: Networks) -> None:
        self._application = application
        self._trusted = trusted

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Call the application with the forwarded environ."""
        environ.update(forwarded_environ(environ, self._trusted))
        return self._application(environ, start_response)


def forwarded_environ(environ: Mapping[str, Any], trusted: Networks) -> dict[str, str]:
    """Return the environ variables that the headers of trusted proxies replace."""
    peer = _parse_address(environ.get("REMOTE_ADDR", "").partition("%")[0])
    if peer is None or not _is_in_networks(peer, trusted):
        return {}
    changes = {"REMOTE_ADDR": str(_client_address(peer, environ.get("HTTP_X_FORWARDED_FOR", ""), trusted))}
    scheme = _nearest_hop(environ.get("HTTP_X_FORWARDED_PROTO", "")).lower()
    if scheme in ("http", "https"):
        changes["wsgi.url_scheme"] = scheme
    host = _nearest_hop(environ.get("HTTP_X_FORWARDED_HOST", ""))
    if _is_host(host):
        changes["HTTP_HOST"] = host
    prefix = _nearest_hop(environ.get("HTTP_X_FORWARDED_PREFIX", "")).rstrip("/")
    if _is_prefix(prefix):
        changes["SCRIPT_NAME"] = prefix + environ.get("SCRIPT_NAME", "")
    return changes


def _client_address(peer: Address, hops: str, trusted: Networks) -> Address:
    """Return the first untrusted address from the peer leftwards; a malformed address ends the search."""
    client = peer
    for text in reversed(hops.split(",")):
        if not _is_in_networks(client, trusted) or (address := _parse_address(text.strip(" \t"))) is None:
            break
        client = address
    return client


def _parse_address(text: str) -> Address | None:
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return None
    try:
        address = ip_address(match["bracketed"] or match["ipv4"] or match["ipv6"])
    except ValueError:
        return None
    # The form of an IPv4 peer on a dual-stack socket.
    return getattr(address, "ipv4_mapped", None) or address


def _is_in_networks(address: Address, networks: Networks) -> bool:
    return any(address in network for network in networks)


def _nearest_hop(values: str) -> str:
    """Return the last value: the client may have written the others."""
    return values.rpartition(",")[2].strip(" \t")


def _is_prefix(text: str) -> bool:
    """Return whether a text is a path that cannot be mistaken for another host, or leave itself."""
    return len(text) <= _MAX_PREFIX_CHARACTERS and _PREFIX.fullmatch(text) is not None


def _is_host(text: str) -> bool:
    match = _HOST.fullmatch(text) if len(text) <= _MAX_HOST_CHARACTERS else None
    if match is None or not 0 < int(match["port"] or 1) <= _MAX_PORT:
        return False
    return match["ipv6"] is None or _parse_address(f"[{match['ipv6']}]") is not None

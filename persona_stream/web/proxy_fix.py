"""Behind a proxy: whose connection it is, what the client called us, and how, from headers of those we trust.

Anybody can write ``X-Forwarded-*``. So these headers count only where the peer of the connection is trusted, and of
``X-Forwarded-For`` only as far as trusted addresses wrote it: each hop adds its peer at the right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Networks = Sequence[IPv4Network | IPv6Network]

_SIX = r"[0-9A-Fa-f]*:[0-9A-Fa-f:.]{1,40}"
_ADDRESS = re.compile(
    rf"\[(?P<bracketed>{_SIX})\](?::\d{{1,5}})?|(?P<four>[\d.]{{7,15}})(?::\d{{1,5}})?|(?P<six>{_SIX})", re.ASCII
)
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*\.?|\[(?P<six>{_SIX})\])(?::(?P<port>\d{{1,5}}))?", re.ASCII)
_LONGEST_HOST, _LAST_PORT = 259, 65535  # a name of 253 characters, a colon, and a port


class TrustedProxyFix:
    """Be the application, to which requests through a trusted proxy look as if there were none between."""

    def __init__(self, application: Application, trusted: Networks) -> None:
        self._application, self._trusted = application, trusted

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ.update(forwarded_environ(environ, self._trusted))
        return self._application(environ, start_response)


def forwarded_environ(environ: Mapping[str, Any], trusted: Networks) -> dict[str, str]:
    """Give what a request's environ must have instead, by what trusted proxies say of it."""
    peer = _address(environ.get("REMOTE_ADDR", "").partition("%")[0])
    if peer is None or not _is_among(peer, trusted):
        return {}
    changes = {"REMOTE_ADDR": str(_client(peer, environ.get("HTTP_X_FORWARDED_FOR", ""), trusted))}
    scheme = _last(environ.get("HTTP_X_FORWARDED_PROTO", "")).lower()
    if scheme in ("http", "https"):
        changes["wsgi.url_scheme"] = scheme
    host = _last(environ.get("HTTP_X_FORWARDED_HOST", ""))
    if _is_host(host):
        changes["HTTP_HOST"] = host
    return changes


def _client(peer: IPv4Address | IPv6Address, hops: str, trusted: Networks) -> IPv4Address | IPv6Address:
    """Walk from the peer to the left, to the first that is not trusted; what is no address is not believed."""
    client = peer
    for text in reversed(hops.split(",")):
        if not _is_among(client, trusted) or (address := _address(text.strip(" \t"))) is None:
            break
        client = address
    return client


def _address(text: str) -> IPv4Address | IPv6Address | None:
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return None
    try:
        address = ip_address(found["bracketed"] or found["four"] or found["six"])
    except ValueError:
        return None
    # On a socket of both families this is how an IPv4 peer looks.
    return getattr(address, "ipv4_mapped", None) or address


def _is_among(address: IPv4Address | IPv6Address, networks: Networks) -> bool:
    return any(address in network for network in networks)


def _last(values: str) -> str:
    """Give what the nearest hop said: those before it may have been written by anybody."""
    return values.rpartition(",")[2].strip(" \t")


def _is_host(text: str) -> bool:
    found = _HOST.fullmatch(text) if len(text) <= _LONGEST_HOST else None
    if found is None or not 0 < int(found["port"] or 1) <= _LAST_PORT:
        return False
    return found["six"] is None or _address(f"[{found['six']}]") is not None

"""Registry of the wire protocols: the only place that lists them."""

from __future__ import annotations

from typing import Protocol

from persona_stream.protocols.anthropic.protocol import ANTHROPIC
from persona_stream.protocols.base import WireProtocol
from persona_stream.protocols.native.protocol import NATIVE
from persona_stream.protocols.openai.protocol import OPENAI

SHARED_PREFIX = "/v1/"
"""Path prefix at which the clients of several protocols send requests; a header tells them apart."""

PROTOCOLS: dict[str, WireProtocol] = {}
"""Registered protocols by name. Change it with ``register`` only."""

_by_prefix: list[tuple[str, WireProtocol]] = []  # longest prefix first


def register(protocol: WireProtocol) -> None:
    """Register a protocol.

    Raises:
        ValueError: Its name is taken, or it shares a path prefix with another protocol.
    """
    taken = {prefix for prefix, _ in _by_prefix} & set(protocol.path_prefixes)
    if protocol.name in PROTOCOLS or taken:
        raise ValueError(f"the protocol {protocol.name!r} is already registered, or its path prefixes are")
    PROTOCOLS[protocol.name] = protocol
    _by_prefix.extend((prefix, protocol) for prefix in protocol.path_prefixes)
    _by_prefix.sort(key=lambda item: len(item[0]), reverse=True)


class HeaderNames(Protocol):
    """Names of a request's headers, matched without regard to case."""

    def __contains__(self, name: str, /) -> bool: ...


def find_protocol(path: str, headers: HeaderNames) -> WireProtocol:
    """Return the protocol of a request: by the longest path prefix, on shared paths by the marker header."""
    for prefix, protocol in _by_prefix:
        if path.startswith(prefix):
            if prefix != SHARED_PREFIX:
                return protocol
            marked = (other for other in PROTOCOLS.values() if other.marker_header and other.marker_header in headers)
            return next(marked, protocol)
    return NATIVE


def is_run_endpoint(path: str) -> bool:
    """Return whether requests to this path start runs."""
    return any(path in protocol.run_endpoints for protocol in PROTOCOLS.values())


for _protocol in (NATIVE, OPENAI, ANTHROPIC):
    register(_protocol)

"""Registry of the wire protocols: the only place that lists them."""

from typing import Protocol

from persona_stream.protocols.ai_sdk_ui.encoder import AI_SDK_UI
from persona_stream.protocols.anthropic.encoder import ANTHROPIC
from persona_stream.protocols.base import WireProtocol
from persona_stream.protocols.native.encoder import NATIVE
from persona_stream.protocols.openai.encoder import OPENAI
from persona_stream.protocols.openai_responses.encoder import RESPONSES

SHARED_PREFIX = "/v1/"
"""Path prefix at which the clients of several protocols send requests; a header tells them apart."""

PROTOCOLS: dict[str, WireProtocol] = {}
"""Registered protocols by name. Change it with ``register`` only."""

_by_prefix: list[tuple[str, WireProtocol]] = []  # the longest prefix first


def register(protocol: WireProtocol) -> None:
    """Register a protocol.

    Raises:
        ValueError: Its name or one of its path prefixes is taken.
    """
    taken = {prefix for prefix, _ in _by_prefix}
    if protocol.name in PROTOCOLS or not taken.isdisjoint(protocol.path_prefixes):
        raise ValueError(f"the name or a path prefix of the protocol {protocol.name!r} is taken")
    PROTOCOLS[protocol.name] = protocol
    _by_prefix.extend((prefix, protocol) for prefix in protocol.path_prefixes)
    _by_prefix.sort(key=lambda pair: len(pair[0]), reverse=True)


class HeaderNames(Protocol):
    """Names of a request's headers, matched without regard to case."""

    def __contains__(self, name: str, /) -> bool: ...


def find_protocol(path: str, headers: HeaderNames) -> WireProtocol:
    """Return the protocol of a request: by the longest path prefix, on shared paths by the marker header."""
    for prefix, found in _by_prefix:
        if path.startswith(prefix):
            if prefix == SHARED_PREFIX:
                for protocol in PROTOCOLS.values():
                    if protocol.marker_header and protocol.marker_header in headers:
                        return protocol
            return found
    return NATIVE


def is_run_endpoint(path: str) -> bool:
    """Return whether requests to this path start runs."""
    return any(path in protocol.run_endpoints for protocol in PROTOCOLS.values())


for _protocol in (NATIVE, OPENAI, RESPONSES, ANTHROPIC, AI_SDK_UI):
    register(_protocol)

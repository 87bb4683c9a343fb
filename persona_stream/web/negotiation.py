"""Content negotiation: the protocol, the transport and the heartbeat of a request."""

from __future__ import annotations

from typing import get_args

from flask import Request

from persona_stream.errors import InvalidRequest, NotAcceptable
from persona_stream.protocols.base import Heartbeat, WireProtocol
from persona_stream.protocols.registry import find_protocol
from persona_stream.web.transports import EVENT_STREAM, TRANSPORTS, Transport

_HEARTBEAT_HEADER = "X-Persona-Heartbeat"
_HEARTBEATS: dict[str, Heartbeat] = {name: name for name in get_args(Heartbeat)}
_JSON = "application/json"


def protocol_of(request: Request) -> WireProtocol:
    """Return the protocol of a request."""
    return find_protocol(request.path, request.headers)


def negotiate_transport(request: Request) -> Transport:
    """Return the transport that the client prefers.

    ``application/json`` is accepted and gets Server-Sent Events: many HTTP libraries send it by default.

    Raises:
        NotAcceptable: The client accepts neither a registered transport nor JSON.
    """
    best = request.accept_mimetypes.best_match((*TRANSPORTS, _JSON))
    if best is None and request.headers.get("Accept"):
        raise NotAcceptable(f"Accept: must include {' or '.join(TRANSPORTS)}")
    return TRANSPORTS.get(best or "", EVENT_STREAM)


def error_transport(request: Request, protocol: WireProtocol) -> Transport | None:
    """Return the transport in which an error of this request is sent; ``None`` for a JSON body."""
    if not protocol.streams_error(request.path):
        return None
    best = request.accept_mimetypes.best_match((*TRANSPORTS, _JSON))
    return None if best == _JSON else TRANSPORTS.get(best or "", EVENT_STREAM)


def negotiate_heartbeat(request: Request) -> Heartbeat:
    """Return the form of progress that the client wants on protocols without progress events.

    Raises:
        InvalidRequest: The header has an unknown value.
    """
    value = request.headers.get(_HEARTBEAT_HEADER)
    if value is None:
        return "comment"
    if value not in _HEARTBEATS:
        raise InvalidRequest(f"{_HEARTBEAT_HEADER}: must be one of {', '.join(_HEARTBEATS)}", _HEARTBEAT_HEADER)
    return _HEARTBEATS[value]

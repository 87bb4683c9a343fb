"""Content negotiation: the protocol, the transport and the heartbeat of a request.

A transport turns the messages of a stream into bytes of an HTTP response, and a client chooses it by media type in
``Accept``. Adding one takes a subclass of ``Transport`` and one call of ``register``.
"""

from functools import lru_cache
from typing import ClassVar, Protocol, get_args

from flask import Request
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from persona_stream.core import sse
from persona_stream.errors import InvalidRequest, NotAcceptable
from persona_stream.protocols.base import Heartbeat, WireProtocol
from persona_stream.protocols.registry import find_protocol

_HEARTBEAT_HEADER = "X-Persona-Heartbeat"
_HEARTBEATS: dict[str, Heartbeat] = {name: name for name in get_args(Heartbeat)}
_JSON = "application/json"


class Transport(Protocol):
    """Framing of messages in a response body.

    Attributes:
        media_type: Media type that selects it in ``Accept``.
        content_type: ``Content-Type`` of the response.
    """

    media_type: ClassVar[str]
    content_type: ClassVar[str]

    def frame(self, message: sse.ServerSentEvent) -> bytes:
        """Return the bytes of one message; empty bytes for one that the transport has no form for."""
        ...


class EventStreamTransport(Transport):
    """Server-Sent Events."""

    media_type = sse.MEDIA_TYPE
    content_type = sse.CONTENT_TYPE

    frame = staticmethod(sse.encode)


EVENT_STREAM = EventStreamTransport()

TRANSPORTS: dict[str, Transport] = {EVENT_STREAM.media_type: EVENT_STREAM}
"""Registered transports by media type. Change it with ``register`` only."""


def register(transport: Transport) -> None:
    """Register a transport.

    Raises:
        ValueError: Its media type is taken.
    """
    if transport.media_type in TRANSPORTS:
        raise ValueError(f"the media type {transport.media_type!r} already has a transport")
    TRANSPORTS[transport.media_type] = transport


def protocol_of(request: Request) -> WireProtocol:
    """Return the protocol of a request."""
    return find_protocol(request.path, request.headers)


def negotiate_transport(request: Request) -> Transport:
    """Return the transport that the client prefers.

    ``application/json`` is accepted and gets Server-Sent Events: many HTTP libraries send it by default.

    Raises:
        NotAcceptable: The client accepts neither a registered transport nor JSON.
    """
    best = _best_type(request)
    if best is None:
        raise NotAcceptable(f"Accept: must include {' or '.join(TRANSPORTS)}")
    return TRANSPORTS.get(best, EVENT_STREAM)


def _best_type(request: Request) -> str | None:
    """Return the media type that the client prefers; empty without a preference, ``None`` if it accepts none."""
    return _best_match(request.headers.get("Accept", ""), (*TRANSPORTS, _JSON))


@lru_cache(64)  # few distinct values, and parsing one is slow
def _best_match(accept: str, offered: tuple[str, ...]) -> str | None:
    # Without parameters: no response varies by one, and clients send text/event-stream;charset=UTF-8 (RxNetty #556).
    values = [
        (value.partition(";")[0].strip().lower(), quality) for value, quality in parse_accept_header(accept, MIMEAccept)
    ]
    accepted = MIMEAccept([(value, quality) for value, quality in values if "/" in value])
    return accepted.best_match(offered) if accepted else ""


def error_transport(request: Request, protocol: WireProtocol) -> Transport | None:
    """Return the transport in which an error of this request is sent; ``None`` for a JSON body."""
    if not protocol.streams_error(request.path):
        return None
    best = _best_type(request)
    return None if best == _JSON else TRANSPORTS.get(best or "", EVENT_STREAM)


def negotiate_heartbeat(request: Request, default: Heartbeat) -> Heartbeat:
    """Return the form of progress on protocols without progress events: the client's choice, else the default.

    Raises:
        InvalidRequest: The header has an unknown value.
    """
    value = request.headers.get(_HEARTBEAT_HEADER, default)
    if value not in _HEARTBEATS:
        raise InvalidRequest(f"{_HEARTBEAT_HEADER}: must be one of {', '.join(_HEARTBEATS)}", _HEARTBEAT_HEADER)
    return _HEARTBEATS[value]

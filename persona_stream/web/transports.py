"""Transports: how the messages of a stream become bytes of an HTTP response.

A client chooses one by media type in ``Accept``. Adding a transport takes a subclass of ``Transport`` and one call of
``register``.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from persona_stream.core import sse
from persona_stream.core.sse import ServerSentEvent


class Transport(Protocol):
    """Framing of messages in a response body.

    Attributes:
        media_type: Media type that selects it in ``Accept``.
        content_type: ``Content-Type`` of the response.
    """

    media_type: ClassVar[str]
    content_type: ClassVar[str]

    def frame(self, message: ServerSentEvent) -> bytes:
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

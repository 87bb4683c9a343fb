"""Wait for what a connection brings, and tell the time meanwhile."""

from __future__ import annotations

from collections.abc import Generator

from persona_stream.client.requesting import Request
from persona_stream.client.transport import Broken, Bytes, Finished, Interrupted, Message, Transport
from persona_stream.client.updates import Update, Waited
from persona_stream.core.clock import Clock

TICK = 0.2
MAX_BODY_BYTES = 128 * 1024 * 1024


class TimeUpError(Exception):
    """Say that the deadline has passed."""


class StopError(Exception):
    """Say that somebody wants to stop."""


class Listening:
    """Take messages from a transport until a deadline.

    Every waiting method is a generator: it yields ``Waited`` a few times a second, so that a clock can be drawn,
    raises ``TimeUpError`` or ``StopError``, and returns what was waited for.

    Attributes:
        deadline: seconds since 1970.
    """

    def __init__(self, transport: Transport, clock: Clock, deadline: float) -> None:
        self._transport, self._clock = transport, clock
        self.deadline = deadline

    def open(self, request: Request) -> None:
        """Begin a request, in place of what is under way."""
        self._transport.open(request)

    def message(self) -> Generator[Update, None, Message]:
        """Wait for the next message."""
        while True:
            message = self._transport.next(min(TICK, max(0.0, self.deadline - self._clock())))
            if isinstance(message, Interrupted):
                raise StopError
            # What arrived in time counts, also when the reader of our output kept us from taking it.
            if (message.at if message else self._clock()) >= self.deadline:
                raise TimeUpError
            if message is not None:
                return message
            yield Waited()

    def body(self) -> Generator[Update, None, bytes | Broken]:
        """Wait for the rest of a response."""
        parts: list[bytes] = []
        size = 0
        while True:
            match (yield from self.message()):
                case Bytes(data=data) if size <= MAX_BODY_BYTES:
                    parts.append(data)
                    size += len(data)
                case Finished():
                    return b"".join(parts)
                case Broken() as broken:
                    return broken
                case other:
                    return Broken(other.at, "connection_lost", "the response is too large")

    def pause(self, seconds: float) -> Generator[Update, None, None]:
        """Let so many seconds pass, without a connection."""
        until = self._clock() + seconds
        # No use in waiting for a moment at which there is no time left.
        if until >= self.deadline:
            raise TimeUpError
        self._transport.close()
        while (left := until - self._clock()) > 0:
            if isinstance(self._transport.next(min(TICK, left)), Interrupted):
                raise StopError
            yield Waited()

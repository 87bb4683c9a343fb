"""Bytes of a connection, which must come within a time that no dripping prolongs."""

from __future__ import annotations

import io
import math
import socket
from typing import Any

from persona_stream.core.clock import Clock


class Receiver(io.RawIOBase):
    """Read from a connection, until a moment and no longer. Nothing is read before ``within`` has said until when.

    Args:
        connection: to read from; its own timeout, which is for writing, is as before after each read.
        clock: the moment in seconds.
    """

    def __init__(self, connection: socket.socket, clock: Clock) -> None:
        super().__init__()
        self._connection, self._clock = connection, clock
        self._until, self._more = -math.inf, 0.0

    def within(self, seconds: float, least_bytes_per_second: float = math.inf) -> None:
        """Wait so long from now on; and longer for what comes, as that rate has it."""
        self._until, self._more = self._clock() + seconds, 1 / least_bytes_per_second

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Wait for some bytes.

        Raises:
            TimeoutError: the time is over.
            OSError: the connection is broken.
        """
        left = self._until - self._clock()
        if left <= 0:
            raise TimeoutError("the client took too long")
        usual = self._connection.gettimeout()
        self._connection.settimeout(left)
        try:
            received = self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(usual)
        self._until += received * self._more
        return received

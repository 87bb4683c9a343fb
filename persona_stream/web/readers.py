"""The streams that are open in this process, and when their readers must go."""

from __future__ import annotations

from typing import Protocol

from persona_stream.concurrency import Alarm
from persona_stream.core.clock import Clock


class Stream(Protocol):
    """Be read by somebody."""

    def wake(self) -> None:
        """Have it look at once whether it must go."""
        ...


class Readers:
    """Know the open streams.

    Attributes:
        are_sent_on: whether readers that go on elsewhere by themselves shall do so now.
    """

    def __init__(self) -> None:
        self._open: set[Stream] = set()
        self._closed = Alarm()
        self._hurried = False
        self.are_sent_on = False

    @property
    def count(self) -> int:
        """How many streams are open."""
        return len(self._open)

    def opened(self, stream: Stream) -> None:
        """Count a stream in."""
        self._open.add(stream)

    def closed(self, stream: Stream) -> None:
        """Count a stream out."""
        self._open.discard(stream)
        self._closed.ring()

    def send_on(self) -> None:
        """Send on all who go on elsewhere by themselves."""
        self.are_sent_on = True
        for stream in self._open:
            stream.wake()

    def wait_until_none(self, clock: Clock, seconds: float) -> None:
        """Wait until the last stream has closed, or so many seconds."""
        until = clock() + seconds
        while self._open and not self._hurried and clock() < until:
            self._closed.sleep(until - clock())

    def hurry(self) -> None:
        """Have ``wait_until_none`` wait no longer."""
        self._hurried = True
        self._closed.ring()

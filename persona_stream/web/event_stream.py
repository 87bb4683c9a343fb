"""The ordinary driver: a WSGI response that honours what a script says, and writes all that is due at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from persona_stream.clock import Clock
from persona_stream.dialects import Dialect
from persona_stream.events import Event, Wait
from persona_stream.hub import Alarm
from persona_stream.journals import Journal
from persona_stream.script import Script
from persona_stream.web.presence import Presence

_WRITE_BYTES = 64 * 1024  # a long replay goes out in writes of about this size


class Readers:
    """Know the streams that are open in this process."""

    def __init__(self) -> None:
        self._open = 0
        self._closed = Alarm()
        self._hurried = False

    def opened(self) -> None:
        """Count a stream in."""
        self._open += 1

    def closed(self) -> None:
        """Count a stream out."""
        self._open -= 1
        self._closed.ring()

    def wait_until_none(self, clock: Clock, seconds: float) -> None:
        """Wait until the last stream has closed, or so many seconds."""
        until = clock() + seconds
        while self._open and not self._hurried and clock() < until:
            self._closed.sleep(until - clock())

    def hurry(self) -> None:
        """Have ``wait_until_none`` wait no longer."""
        self._hurried = True
        self._closed.ring()


class EventStream:
    """Iterate the bytes of one reader's stream. ``close`` must be called, and may be called at any time."""

    __slots__ = ("_alarm", "_clock", "_frames", "_journal", "_leave", "_presence", "_readers")

    def __init__(
        self,
        script: Script,
        dialect: Dialect,
        journal: Journal,
        presence: Presence,
        leave: Callable[[], None],
        readers: Readers,
        clock: Clock,
    ) -> None:
        self._journal, self._presence, self._leave = journal, presence, leave
        self._readers, self._clock = readers, clock
        self._alarm = Alarm()
        journal.listen(self._alarm.ring)
        readers.opened()
        self._frames: Iterator[bytes] | None = self._drive(iter(script), dialect.encode)

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> bytes:
        if self._frames is None:
            raise StopIteration
        return next(self._frames)

    def close(self) -> None:
        """Let go of the run and the connection."""
        if self._frames is not None:
            self._frames = None
            self._journal.unlisten(self._alarm.ring)
            self._presence.release()
            self._readers.closed()
            self._leave()

    def _drive(self, steps: Iterator[Event | Wait], encode: Callable[[Event], bytes]) -> Iterator[bytes]:
        due: list[bytes] = []
        size = 0
        for step in steps:
            if not isinstance(step, Wait):
                frame = encode(step)
                due.append(frame)
                size += len(frame)
                if size < _WRITE_BYTES:
                    continue
            if due:
                yield b"".join(due)
                due.clear()
                size = 0
            if isinstance(step, Wait):
                if self._presence.gone():
                    return
                self._alarm.sleep(step.until - self._clock())
        if due:
            yield b"".join(due)

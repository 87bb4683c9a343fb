"""The ordinary driver: a WSGI response that honours what a script says, and writes all that is due at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from persona_stream.concurrency import Alarm
from persona_stream.core import sse
from persona_stream.core.clock import Clock
from persona_stream.core.events import Event, Wait
from persona_stream.core.projection import Script
from persona_stream.journals.base import Journal
from persona_stream.protocols.base import Dialect
from persona_stream.web.presence import Presence
from persona_stream.web.readers import Readers
from persona_stream.web.tallies import Tally

_WRITE_BYTES = 64 * 1024  # a long replay goes out in writes of about this size
_SENT_ON = sse.comment("go on elsewhere: this stream continues where it ended")
_AWAY = sse.comment("what keeps this run is out of reach: nothing is lost, and it goes on when that is back")


class EventStream:
    """Iterate the bytes of one reader's stream. ``close`` must be called, and may be called at any time."""

    __slots__ = ("_alarm", "_clock", "_frames", "_journal", "_leave", "_presence", "_readers", "_sent_on_at", "_tally")

    def __init__(
        self,
        script: Script,
        dialect: Dialect,
        journal: Journal,
        presence: Presence,
        leave: Callable[[], None],
        tally: Tally,
        readers: Readers,
        clock: Clock,
        sent_on_at: float | None = None,
    ) -> None:
        """Begin to read.

        Args:
            leave: called when the reader is gone.
            tally: told of each event.
            sent_on_at: for a reader that goes on elsewhere by itself: the moment when it must, at the latest.
        """
        self._journal, self._presence, self._leave, self._tally = journal, presence, leave, tally
        self._readers, self._clock, self._sent_on_at = readers, clock, sent_on_at
        self._alarm = Alarm()
        journal.listen(self._alarm.ring)
        readers.opened(self)
        self._frames: Iterator[bytes] | None = self._drive(iter(script), dialect.encode)

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> bytes:
        if self._frames is None:
            raise StopIteration
        return next(self._frames)

    def wake(self) -> None:
        """Look at once whether the reader must go."""
        self._alarm.ring()

    def close(self) -> None:
        """Let go of the run and the connection."""
        if self._frames is not None:
            self._frames = None
            self._journal.unlisten(self._alarm.ring)
            self._presence.release()
            self._readers.closed(self)
            self._leave()

    def _drive(self, steps: Iterator[Event | Wait], encode: Callable[[Event], bytes]) -> Iterator[bytes]:
        due: list[bytes] = []
        size = 0
        for step in steps:
            if not isinstance(step, Wait):
                if not (frame := encode(step)):
                    continue
                self._tally.event(step, frame)
                due.append(frame)
                size += len(frame)
                if size < _WRITE_BYTES:
                    continue
            elif self._journal.is_away:
                due.append(_AWAY)
            if self._must_go():
                yield b"".join((*due, _SENT_ON))
                return
            if due:
                yield b"".join(due)
                due.clear()
                size = 0
            if isinstance(step, Wait):
                if self._presence.gone():
                    return
                self._alarm.sleep(min(step.until, self._sent_on_at or math.inf) - self._clock())
        if due:
            yield b"".join(due)

    def _must_go(self) -> bool:
        at = self._sent_on_at
        return at is not None and (self._readers.are_sent_on or self._clock() >= at)

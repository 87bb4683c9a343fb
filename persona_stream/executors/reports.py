"""Take a backend's progress reports from any thread, and pass on at most ten a second: the latest wins."""

from __future__ import annotations

from collections.abc import Callable

from persona_stream.concurrency import Home
from persona_stream.core.clock import Clock
from persona_stream.core.content import clean
from persona_stream.core.facts import Reported
from persona_stream.executors.pace import Pace

_EVERY = 0.1  # seconds
_LONGEST = 500  # characters of a status text


class Reports:
    """Coalesce the reports of one run."""

    __slots__ = ("_home", "_pace", "_pending", "_write")

    def __init__(self, write: Callable[[Reported], object], clock: Clock, home: Home) -> None:
        self._write, self._home = write, home
        self._pace = Pace(_EVERY, self._flush, clock)
        self._pending: Reported | None = None

    def report(self, message: str, fraction: float | None) -> None:
        """Take a report. Any thread may call this, and it never blocks."""
        fact = Reported(clean(message[:_LONGEST]), fraction)
        self._home.call(lambda: self._take(fact))

    def cancel(self) -> None:
        """Pass on no more."""
        self._pending = None
        self._pace.cancel()

    def _take(self, fact: Reported) -> None:
        if (before := self._pending) is not None:
            # An empty message, or no fraction, leaves what the report before it said.
            fraction = before.fraction if fact.fraction is None else fact.fraction
            self._pending = Reported(fact.message or before.message, fraction)
            return
        self._pending = fact
        self._pace.soon()

    def _flush(self) -> None:
        fact, self._pending = self._pending, None
        if fact is not None:
            self._write(fact)

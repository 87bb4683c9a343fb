"""Take what a backend sends of its answer from any thread, and pass it on in batches: at once, then each 50 ms.

Take a backend's progress reports from any thread, and pass on at most ten a second: the latest wins.

Do something soon, but no more often than so.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from persona_stream.concurrency import HubThread, Timer
from persona_stream.core.clock import Clock
from persona_stream.core.content import ends_with_high_surrogate, join_surrogates, replace_unencodable
from persona_stream.core.facts import ProgressReported, ReasoningDelta, TextDelta


class Throttle:
    """Call a function at once when that is asked for, or else as soon as enough time has passed since the last call."""

    __slots__ = ("_action", "_clock", "_every", "_last", "_timer")

    def __init__(self, every: float, action: Callable[[], object], clock: Clock) -> None:
        """Begin.

        Args:
            every: how many seconds are between two calls, at the least.
            action: what to call, in a greenlet of its own.
            clock: tells the moment.
        """
        self._every, self._action, self._clock = every, action, clock
        self._last = 0.0
        self._timer: Timer | None = None

    def schedule(self) -> None:
        """See that it is called, once for all that ask before it is."""
        if self._timer is None:
            self._timer = Timer(max(0.0, self._last + self._every - self._clock()), self._act)

    def reset(self) -> None:
        """Count from now on, because it was done already."""
        self.cancel()
        self._last = self._clock()

    def cancel(self) -> None:
        """Do not call it, if it was not called yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _act(self) -> None:
        self._timer = None
        self._last = self._clock()
        self._action()


_EVERY = 0.05  # seconds

Kind = type[TextDelta] | type[ReasoningDelta]


class DeltaBuffer:
    """Coalesce the parts of one run's answer, in their order.

    Attributes:
        size: how many bytes were passed on.
    """

    __slots__ = ("_home", "_limit", "_on_excess", "_pace", "_pending", "_stopped", "_write", "size")

    def __init__(
        self,
        write: Callable[[TextDelta | ReasoningDelta], object],
        limit: int,
        on_excess: Callable[[], None],
        clock: Clock,
        home: HubThread,
    ) -> None:
        """Begin with nothing.

        Args:
            write: takes what is passed on.
            limit: how many bytes that may be.
            on_excess: is called once, when it is more; nothing is passed on from then on.
            clock: tells the moment.
            home: the hub's thread.
        """
        self._write, self._limit, self._on_excess, self._home = write, limit, on_excess, home
        self._pace = Throttle(_EVERY, self._flush_some, clock)
        self._pending: list[tuple[Kind, str]] = []  # other threads append, and nothing else
        self._stopped = False
        self.size = 0

    def text(self, text: str) -> None:
        """Take a part of the answer. Any thread may call this, and it never blocks."""
        self._take(TextDelta, text)

    def reasoning(self, text: str) -> None:
        """Take a part of the reasoning. As ``text``."""
        self._take(ReasoningDelta, text)

    def flush(self, *, is_last: bool = True) -> None:
        """Pass on what is there now; the half of a pair of surrogates waits for the other one, unless it is the last.

        Never twice, whoever calls it while it writes.
        """
        if not self._pending:
            return
        self._pace.reset()
        taken = self._pending[:]
        del self._pending[: len(taken)]
        for kind, group in groupby(taken, key=lambda each: each[0]):
            text = join_surrogates("".join(text for _, text in group))
            if not is_last and kind is taken[-1][0] and ends_with_high_surrogate(text):
                text, half = text[:-1], text[-1]
                self._pending.insert(0, (kind, half))
            if text and not self._stopped:
                self._pass_on(kind(replace_unencodable(text)))

    def cancel(self) -> None:
        """Pass on no more."""
        self._stopped = True
        self._pending.clear()
        self._pace.cancel()

    def _take(self, kind: Kind, text: str) -> None:
        if text and not self._stopped:
            self._pending.append((kind, text))
            self._home.call_soon(self._schedule)

    def _schedule(self) -> None:
        if not self._stopped:
            self._pace.schedule()

    def _flush_some(self) -> None:
        self.flush(is_last=False)

    def _pass_on(self, fact: TextDelta | ReasoningDelta) -> None:
        self.size += len(fact.text.encode())
        if self.size > self._limit:
            self.cancel()
            self._on_excess()
        else:
            self._write(fact)


_REPORTS_EVERY = 0.1  # seconds
_LONGEST = 500  # characters of a status text


class ProgressThrottle:
    """Coalesce the reports of one run."""

    __slots__ = ("_home", "_pace", "_pending", "_write")

    def __init__(self, write: Callable[[ProgressReported], object], clock: Clock, home: HubThread) -> None:
        self._write, self._home = write, home
        self._pace = Throttle(_REPORTS_EVERY, self._flush, clock)
        self._pending: ProgressReported | None = None

    def report(self, message: str, fraction: float | None) -> None:
        """Take a report. Any thread may call this, and it never blocks."""
        fact = ProgressReported(replace_unencodable(message[:_LONGEST]), fraction)
        self._home.call_soon(lambda: self._take(fact))

    def cancel(self) -> None:
        """Pass on no more."""
        self._pending = None
        self._pace.cancel()

    def _take(self, fact: ProgressReported) -> None:
        if (before := self._pending) is not None:
            # An empty message, or no fraction, leaves what the report before it said.
            fraction = before.fraction if fact.fraction is None else fact.fraction
            self._pending = ProgressReported(fact.message or before.message, fraction)
            return
        self._pending = fact
        self._pace.schedule()

    def _flush(self) -> None:
        fact, self._pending = self._pending, None
        if fact is not None:
            self._write(fact)

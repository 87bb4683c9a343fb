"""Take what a backend sends of its answer from any thread, and pass it on in batches: at once, then each 50 ms."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from persona_stream.concurrency import Home
from persona_stream.core.clock import Clock
from persona_stream.core.content import clean, is_open, pair
from persona_stream.core.facts import Delta, Reasoned
from persona_stream.executors.pace import Pace

_EVERY = 0.05  # seconds

Kind = type[Delta] | type[Reasoned]


class Deltas:
    """Coalesce the parts of one run's answer, in their order.

    Attributes:
        size: how many bytes were passed on.
    """

    __slots__ = ("_home", "_limit", "_on_excess", "_pace", "_pending", "_stopped", "_write", "size")

    def __init__(
        self,
        write: Callable[[Delta | Reasoned], object],
        limit: int,
        on_excess: Callable[[], None],
        clock: Clock,
        home: Home,
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
        self._pace = Pace(_EVERY, self._flush_some, clock)
        self._pending: list[tuple[Kind, str]] = []  # other threads append, and nothing else
        self._stopped = False
        self.size = 0

    def text(self, text: str) -> None:
        """Take a part of the answer. Any thread may call this, and it never blocks."""
        self._take(Delta, text)

    def reasoning(self, text: str) -> None:
        """Take a part of the reasoning. As ``text``."""
        self._take(Reasoned, text)

    def flush(self, *, is_last: bool = True) -> None:
        """Pass on what is there now; the half of a pair of surrogates waits for the other one, unless it is the last.

        Never twice, whoever calls it while it writes.
        """
        if not self._pending:
            return
        self._pace.begin_anew()
        taken = self._pending[:]
        del self._pending[: len(taken)]
        for kind, group in groupby(taken, key=lambda each: each[0]):
            text = pair("".join(text for _, text in group))
            if not is_last and kind is taken[-1][0] and is_open(text):
                text, half = text[:-1], text[-1]
                self._pending.insert(0, (kind, half))
            if text and not self._stopped:
                self._pass_on(kind(clean(text)))

    def cancel(self) -> None:
        """Pass on no more."""
        self._stopped = True
        self._pending.clear()
        self._pace.cancel()

    def _take(self, kind: Kind, text: str) -> None:
        if text and not self._stopped:
            self._pending.append((kind, text))
            self._home.call(self._schedule)

    def _schedule(self) -> None:
        if not self._stopped:
            self._pace.soon()

    def _flush_some(self) -> None:
        self.flush(is_last=False)

    def _pass_on(self, fact: Delta | Reasoned) -> None:
        self.size += len(fact.text.encode())
        if self.size > self._limit:
            self.cancel()
            self._on_excess()
        else:
            self._write(fact)

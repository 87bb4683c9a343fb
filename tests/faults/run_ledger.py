"""Ledger of the runs as clients saw them, and its comparison with the server's counts; pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Ending(NamedTuple):
    """End of a run: its status ``complete``, ``error``, ``timeout`` or ``cancelled``, and its code or ``none``."""

    status: str
    code: str


class Counts(NamedTuple):
    """Counts of started runs, of their ends, and of requests rejected at capacity."""

    began: int
    ended: Mapping[Ending, int]
    refused: int


class RunLedger:
    """Record of the start and the end of each run.

    Attributes:
        kinds: the number of virtual users of each kind.
        errors: the errors and their numbers.
        queued: the number of users whose run was queued.
        silence: the longest time without data on a stream, in seconds.
    """

    def __init__(self) -> None:
        self._began: set[str] = set()
        self._ended: dict[str, Ending] = {}
        self._refused = 0
        self.kinds: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.queued = 0
        self.silence = 0.0

    def began(self, run_id: str) -> None:
        """Record a run; repeated records change nothing."""
        self._began.add(run_id)

    def ended(self, run_id: str, ending: Ending) -> None:
        """Record the end of a run. All users must see the same end."""
        if self._ended.setdefault(run_id, ending) != ending:
            self.errors[f"a run ended twice: {self._ended[run_id]} and {ending}"] += 1

    def refused(self) -> None:
        """Record a request that was rejected at capacity."""
        self._refused += 1

    @property
    def counts(self) -> Counts:
        """Counts so far."""
        return Counts(len(self._began), Counter(self._ended.values()), self._refused)

    @property
    def open(self) -> int:
        """Number of runs without a recorded end."""
        return len(self._began) - len(self._ended)


def differences(name: str, ours: Counts, theirs: Counts) -> Iterator[str]:
    """Yield the differences between the counts of the clients and those of the server, whose source is ``name``."""
    if theirs.began != ours.began:
        yield f"{name}: {theirs.began} runs started, clients counted {ours.began}"
    for ending in sorted({*ours.ended, *theirs.ended}):
        seen = ours.ended.get(ending, 0)
        reported = theirs.ended.get(ending, 0)
        if seen != reported:
            yield f"{name}: {reported} runs ended with {ending.status} ({ending.code}), clients counted {seen}"
    if theirs.refused != ours.refused:
        yield f"{name}: {theirs.refused} requests were rejected, clients counted {ours.refused}"
    if (ended := sum(theirs.ended.values())) != theirs.began:
        yield f"{name}: {theirs.began} runs started, {ended} ended"

"""What clients saw of their runs, so that it can be held against what the server counted. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Ending(NamedTuple):
    """How a run ended: ``complete``, ``error``, ``timeout`` or ``cancelled``; the code is ``none`` for an answer."""

    status: str
    code: str


class Counts(NamedTuple):
    """What one side counted: runs that began, how they ended, and requests that were refused for want of a place."""

    began: int
    ended: Mapping[Ending, int]
    refused: int


class Ledger:
    """Write down each run, once when it is first heard of, and once when its ending is.

    Attributes:
        kinds: how many clients of each kind there were.
        wrong: what must not be, and how often it was.
        queued: how many clients were told that they wait for a place.
        silence: seconds, the longest time in which a reader heard nothing.
    """

    def __init__(self) -> None:
        self._began: set[str] = set()
        self._ended: dict[str, Ending] = {}
        self._refused = 0
        self.kinds: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.queued = 0
        self.silence = 0.0

    def began(self, run_id: str) -> None:
        """Hear of a run; hearing of it again changes nothing."""
        self._began.add(run_id)

    def ended(self, run_id: str, ending: Ending) -> None:
        """Hear how a run ended. All who hear of it must hear the same."""
        if self._ended.setdefault(run_id, ending) != ending:
            self.wrong[f"a run ended twice: {self._ended[run_id]}, and {ending}"] += 1

    def refused(self) -> None:
        """Hear that there was no place, and none in the queue."""
        self._refused += 1

    @property
    def counts(self) -> Counts:
        """Give what was counted so far."""
        return Counts(len(self._began), Counter(self._ended.values()), self._refused)

    @property
    def open(self) -> int:
        """How many runs were heard of whose ending was not."""
        return len(self._began) - len(self._ended)


def differences(name: str, ours: Counts, theirs: Counts) -> Iterator[str]:
    """Say where ``theirs``, which has this name, differs from what the clients counted."""
    if theirs.began != ours.began:
        yield f"{name}: {theirs.began} runs began, and clients know of {ours.began}"
    for ending in sorted({*ours.ended, *theirs.ended}):
        seen, told = ours.ended.get(ending, 0), theirs.ended.get(ending, 0)
        if seen != told:
            yield f"{name}: {told} runs ended with {ending.status} ({ending.code}), and clients saw {seen}"
    if theirs.refused != ours.refused:
        yield f"{name}: {theirs.refused} requests were refused, and clients saw {ours.refused}"
    if (ended := sum(theirs.ended.values())) != theirs.began:
        yield f"{name}: {theirs.began} runs began, and {ended} ended"

"""Where the facts of runs are kept.

A ``Journal`` is the list of one run's facts, and ``Journals`` all of them. The contract of both, for every kind:

* ``append`` keeps the journal's law: after an ending it changes nothing and says ``False``, so the first ending
  wins, whoever else tries.
* ``entries`` only grows. Whoever listens is called after it grew, once or more, in the hub, and must not block.
* A journal without an ending is kept. One with an ending is kept for the retention, unless the bound on memory
  trims it first, oldest ending first; either way it is ``Gone`` from then on, and never comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from msgspec import Struct

from persona_stream import facts
from persona_stream.facts import Accepted, Entry, Fact

Listener = Callable[[], None]


class Claim(Struct, frozen=True):
    """Say under which idempotency key a run is started, and for what request, as a digest."""

    key: str
    fingerprint: str


class Journal(Protocol):
    """Keep the facts of one run."""

    @property
    def entries(self) -> Sequence[Entry]:
        """The facts so far, oldest first; the first is ``Accepted``."""
        ...

    def append(self, fact: Fact) -> bool:
        """Write a fact at this moment; ``False`` when the run has ended before."""
        ...

    def listen(self, listener: Listener) -> None:
        """Have ``listener`` called whenever the journal has grown."""
        ...

    def unlisten(self, listener: Listener) -> None:
        """Undo ``listen``."""
        ...


class Journals(Protocol):
    """Keep the journals of all runs."""

    def claimed(self, owner: str, claim: Claim) -> Journal | None:
        """Give the run that this owner started under this key, if it is still kept.

        Raises:
            Conflict: the key was used for another request.
        """
        ...

    def create(self, accepted: Accepted, claim: Claim | None) -> Journal:
        """Begin a journal with this fact."""
        ...

    def find(self, run_id: str) -> Journal:
        """Give a journal.

        Raises:
            NotFound: there never was one, as far as anybody can tell.
            Gone: it is past its retention.
        """
        ...

    def of_owner(self, owner: str, before: str | None) -> Iterable[Journal]:
        """Give an owner's journals, newest first; only runs that began before run ``before``, if given."""
        ...


def terms(journal: Journal) -> Accepted:
    """Give the terms of a run."""
    return facts.terms(journal.entries)


def has_ended(journal: Journal) -> bool:
    """Tell whether a run has its ending."""
    return facts.has_ended(journal.entries)

"""Where the facts of runs are kept.

A ``Journal`` is the list of one run's facts, and ``Journals`` all of them. The contract of both, for every kind:

* ``append`` keeps the journal's law: after an ending it changes nothing, so the first ending wins, whoever else
  tries. A fact shows in ``entries`` when it is kept for good: at once in memory, else soon.
* ``entries`` only grows. Whoever listens is called after it grew, once or more, in the hub, and must not block.
* A journal without an ending is kept. One with an ending is kept for the retention, unless the bound on memory
  trims it first, oldest ending first; either way it is ``Gone`` from then on, and never comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from persona_stream.core import facts
from persona_stream.core.facts import Accepted, Entry, Fact
from persona_stream.core.run_id import timestamp_of
from persona_stream.errors import Gone, HTTPError, NotFound

Listener = Callable[[], None]

KEY_CONFLICT_MESSAGE = "This Idempotency-Key was used for another request: use a new key for a new request"


class IdempotencyKey(Struct, frozen=True):
    """Say under which key a run is started, and for what request.

    Attributes:
        key: the idempotency key.
        fingerprint: a digest of the request.
        joins: whether a run that holds the key is given instead of a new one; else the new one takes the key.
    """

    key: str
    fingerprint: str
    joins: bool = True


class Journal(Protocol):
    """Keep the facts of one run."""

    @property
    def entries(self) -> Sequence[Entry]:
        """The facts so far, oldest first; the first is ``Accepted``."""
        ...

    @property
    def is_unavailable(self) -> bool:
        """Whether what keeps it is out of reach, so that what happens does not show yet."""
        ...

    def append(self, fact: Fact) -> bool:
        """Write a fact of this moment, without waiting; ``False`` when the run is known to have ended before."""
        ...

    def subscribe(self, listener: Listener) -> None:
        """Have ``listener`` called whenever the journal has grown."""
        ...

    def unsubscribe(self, listener: Listener) -> None:
        """Undo ``listen``."""
        ...

    def has_remote_subscribers(self) -> bool:
        """Tell whether other processes have readers of it. May wait, and says ``True`` when it cannot be told."""
        ...

    def refresh(self) -> None:
        """Show what is kept by now. For whoever knows of more than ``entries`` has: word of it may be on its way here.

        Raises:
            Unavailable: what keeps it is out of reach.
        """
        ...


class JournalStore(Protocol):
    """Keep the journals of all runs. Whatever reads or begins one may wait for a store, and then raises
    ``Unavailable`` within two seconds when that is out of reach."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes can read them, and go on when this one stops."""
        ...

    @property
    def process_count(self) -> int:
        """How many processes share them, this one too, as far as that is known here."""
        ...

    def create(self, accepted: Accepted, claim: IdempotencyKey | None) -> tuple[Journal, bool]:
        """Begin a journal with this fact, or give the one that holds the claim; and whether it is new.

        Raises:
            Conflict: the claim's key was used for another request.
        """
        ...

    def find_by_key(self, owner: str, claim: IdempotencyKey) -> Journal | None:
        """Give the run that ``begin`` would give instead of a new one, if there is one. Raises as ``begin``."""
        ...

    def find(self, run_id: str) -> Journal:
        """Give a journal as it is at this moment.

        Raises:
            NotFound: there never was one, as far as anybody can tell.
            Gone: it is past its retention.
        """
        ...

    def follow(self, run_id: str) -> Journal:
        """Give a journal that goes on growing. Raises as ``find``."""
        ...

    def list_for_owner(self, owner: str, before: str | None, limit: int) -> Sequence[Journal]:
        """Give an owner's journals, newest first; only runs that began before run ``before``, if given."""
        ...

    def secret(self) -> str:
        """Give a random secret that is the same for all who share these journals, and lives as long as they do."""
        ...

    def unavailable_services(self) -> Sequence[str]:
        """Name what keeps them and is out of reach. May wait for it, at most two seconds."""
        ...

    def close(self) -> None:
        """Let go of what keeps them."""
        ...


def run_terms(journal: Journal) -> Accepted:
    """Give the terms of a run."""
    return facts.run_terms(journal.entries)


def has_ended(journal: Journal) -> bool:
    """Tell whether a run has its ending."""
    return facts.has_ended(journal.entries)


def not_found_error(run_id: str, was_trimmed: bool, retention: float, now: float) -> HTTPError:
    """Say why there is no journal of this name: its name tells when it began."""
    if was_trimmed or is_expired(run_id, retention, now):
        return Gone("This run is past its retention: its answer is no longer kept, and it will not be run again")
    return NotFound("There is no such run")


def is_expired(run_id: str, retention: float, now: float) -> bool:
    """Tell whether a run's name alone says that it is past its retention."""
    began = timestamp_of(run_id)
    return began is not None and began + retention < now

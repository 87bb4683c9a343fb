"""What else happens when something happened to a run, or around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from persona_stream.core.facts import Entry
from persona_stream.notes import Note


class Observer(Protocol):
    """Be told of every fact after it was written, and of what happens around it.

    What happens around a run may be told after its ending too: a thread may go on for long, and a reader stay.
    Runs of this process are told whole, others only as far as they are read here. Must not block, raise, or change
    anything of the run. Both methods are called in the hub's thread.
    """

    def observe(self, entries: Sequence[Entry]) -> None:
        """See a journal whose last entry is new."""
        ...

    def note(self, run_id: str, note: Note) -> None:
        """Hear what happened around a run."""
        ...

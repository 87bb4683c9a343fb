"""What else happens when something happened to a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from persona_stream.facts import Entry


class Observer(Protocol):
    """Be told of every fact after it was written. Must not block, raise, or change anything of the run."""

    def observe(self, entries: Sequence[Entry]) -> None:
        """See a journal whose last entry is new."""
        ...

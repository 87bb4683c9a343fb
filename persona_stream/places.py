"""Bounds on what is under way at once."""

from __future__ import annotations

from collections import Counter

from persona_stream.errors import Busy


class Places:
    """Count the places that runs take: so many in all, and so many for one owner."""

    def __init__(self, most: int, most_per_owner: int) -> None:
        self._most, self._most_per_owner = most, most_per_owner
        self._taken: Counter[str] = Counter()
        self._total = 0

    @property
    def taken(self) -> int:
        """How many places are taken."""
        return self._total

    def take(self, owner: str) -> None:
        """Take a place.

        Raises:
            Busy: there is none left.
        """
        if self._total >= self._most:
            raise Busy("Every place is taken: try again in a moment", retry_after=2)
        if self._taken[owner] >= self._most_per_owner:
            raise Busy("You have as many runs under way as you may: wait for one to end, or cancel one", retry_after=2)
        self._taken[owner] += 1
        self._total += 1

    def free(self, owner: str) -> None:
        """Give a place back."""
        self._total -= 1
        self._taken[owner] -= 1
        if not self._taken[owner]:
            del self._taken[owner]

"""Ration what is tried again, so that a provider in need gets a little more work from us, and not three times as much.

The tries of one query are counted elsewhere; this counts those of all of them.
"""

from __future__ import annotations

_SAVED = 10.0  # tries that may come at once, after a time without any
_SHARE = 0.2  # of a try, that each query adds


class Budget:
    """Know whether something may be tried again: now and then always, and for long for one query in five."""

    def __init__(self) -> None:
        self._left = _SAVED

    def earn(self) -> None:
        """Hear of a query."""
        self._left = min(_SAVED, self._left + _SHARE)

    def spend(self) -> bool:
        """Take a try, if there is one."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

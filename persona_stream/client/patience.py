"""How long to wait before the next attempt, and how many to make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Jitter = Callable[[], float]
"""Gives a number from 0.0 to 1.0, another each time."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Bound the attempts that bring nothing new.

    Attributes:
        first: seconds before the second attempt; each further one waits twice as long.
        longest: seconds that no wait exceeds, unless the server asks for more.
        at_start: attempts while the server has not answered once. Few: it is probably not running.
        in_the_middle: attempts once it has: long enough for it to be started anew.
    """

    first: float = 0.5
    longest: float = 10.0
    at_start: int = 3
    in_the_middle: int = 12

    def exhausted(self, failures: int, *, met: bool) -> bool:
        """Tell whether so many failures in a row are enough."""
        return failures >= (self.in_the_middle if met else self.at_start)

    def wait(self, failures: int, jitter: Jitter, at_least: float = 0.0) -> float:
        """Give the seconds to wait after so many failures in a row (1 or more).

        Half of it is chance: clients that lost the same server shall not come back to it all at once.
        """
        full = min(self.longest, self.first * 2.0 ** min(failures - 1, 30))
        return max(at_least, full * (0.5 + 0.5 * jitter()))

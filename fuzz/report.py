"""What was found, told as it is found."""

from __future__ import annotations

from threading import Lock


class Findings:
    """Gather findings from whoever looks, at the same time if need be."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.count = 0

    def add(self, where: str, what: str, again: str) -> None:
        """Tell of one.

        Args:
            where: what was tried.
            what: all that is known of it.
            again: how to see it again.
        """
        with self._lock:
            self.count += 1
            print(f"\nFOUND in {where}\n{what}\nAgain: {again}\n", flush=True)

"""Findings of the fuzz tests, printed as they occur."""

from __future__ import annotations

from threading import Lock


class Findings:
    """Thread-safe counter and printer of findings."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.count = 0

    def add(self, subject: str, details: str, command: str) -> None:
        """Print a finding.

        Args:
            subject: the part under test.
            details: the output.
            command: how to reproduce it.
        """
        with self._lock:
            self.count += 1
            print(f"\nFOUND in {subject}\n{details}\nTo reproduce: {command}\n", flush=True)

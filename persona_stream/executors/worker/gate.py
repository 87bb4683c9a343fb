"""Gate of a worker process: while it is open, queries begin. Closing it works at once, even if the process is frozen.

Invariants:
    A worker announces the beginning of a query before it looks at the gate, and the server closes the gate before it
    looks for announcements. So a query without an announcement has not begun, and never will.
"""

import mmap
import os
import tempfile


class Gate:
    """Byte of memory that a server shares with a worker process: code of the backend cannot close it by mistake."""

    def __init__(self, fd: int) -> None:
        """Map the file ``fd``, and close it."""
        self._memory = mmap.mmap(fd, 1)
        os.close(fd)

    def close(self) -> None:
        """Let no further query begin."""
        self._memory[0] = 1

    @property
    def is_closed(self) -> bool:
        """Whether no further query may begin."""
        return self._memory[0] != 0


def create_gate_file() -> int:
    """Return the descriptor of a new file for a gate, which is open."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("persona_stream gate")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.truncate(fd, 1)
    return fd

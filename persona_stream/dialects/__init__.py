"""What events look like on a wire, one file for each dialect."""

from __future__ import annotations

from typing import Protocol

from persona_stream.events import Event


class Dialect(Protocol):
    """Give events their bytes for one reader of one run. Pure: no I/O, no clock."""

    def encode(self, event: Event) -> bytes:
        """Give the whole frame of an event, ready to send."""
        ...

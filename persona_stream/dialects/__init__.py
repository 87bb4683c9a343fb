"""What events look like on a wire, one file for each dialect."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from persona_stream.core.events import Event


class Dialect(Protocol):
    """Give events their bytes for one reader of one run. Pure: no I/O, no clock."""

    @property
    def name(self) -> str: ...

    def encode(self, event: Event) -> bytes:
        """Give the whole frame of an event, ready to send; nothing for one that this wire has no place for."""
        ...


class Refused(Struct, frozen=True):
    """Say why a request is refused, before any dialect gives that a form.

    ``field`` is the field, parameter or header that is to blame, if it is one.
    """

    status: int
    code: str
    message: str
    field: str | None = None

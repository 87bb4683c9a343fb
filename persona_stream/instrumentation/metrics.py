"""What is measured beside the runs themselves: what was refused, how late the hub is, and who is out of reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from persona_stream.errors import NotFound

Gauges = Mapping[str, Callable[[], float]]
"""Numbers that are looked at now and then, by their names. Looking must not block."""

Stores = Mapping[str, Callable[[], Sequence[str]]]
"""What keeps something, by a name for it; each names what is out of reach, and may wait for that two seconds."""


class Exposition(Struct, frozen=True):
    """Hold what there is to see, as a monitoring system reads it."""

    body: bytes
    content_type: str


class Meters(Protocol):
    """Measure. No method but ``exposition`` may block, and none raises anything but what it says."""

    def watch(self, gauges: Gauges, stores: Stores) -> None:
        """Look at these too; said once.

        Raises:
            KeyError: there is no gauge of this name.
        """
        ...

    def refused(self, endpoint: str, status: int, code: str) -> None:
        """Count a refusal; ``endpoint`` is a pattern of ours, and nothing that a stranger wrote."""
        ...

    def beat(self, late: float) -> None:
        """Hear by how many seconds the hub is late, and look at the gauges."""
        ...

    def exposition(self) -> Exposition:
        """Give what there is to see. May wait for the stores.

        Raises:
            NotFound: nothing is measured here; the text says what to install.
        """
        ...


class NoMeters:
    """Measure nothing."""

    def watch(self, gauges: Gauges, stores: Stores) -> None:
        """Look at nothing."""

    def refused(self, endpoint: str, status: int, code: str) -> None:
        """Count nothing."""

    def beat(self, late: float) -> None:
        """Leave it be."""

    def exposition(self) -> Exposition:
        raise NotFound('Nothing is measured here: pip install "persona_stream[metrics]", and start again')

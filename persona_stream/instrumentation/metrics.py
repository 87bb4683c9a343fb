"""What is measured beside the runs themselves: what was refused, how late the hub is, and who is out of reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from persona_stream.errors import NotFound

Gauges = Mapping[str, Callable[[], float]]
"""Numbers that are looked at now and then, by their names. Looking must not block."""

HealthChecks = Mapping[str, Callable[[], Sequence[str]]]
"""What keeps something, by a name for it; each names what is out of reach, and may wait for that two seconds."""


class Exposition(Struct, frozen=True):
    """Hold what there is to see, as a monitoring system reads it."""

    body: bytes
    content_type: str


class Metrics(Protocol):
    """Measure. No method but ``exposition`` may block, and none raises anything but what it says."""

    def register_gauges(self, gauges: Gauges, stores: HealthChecks) -> None:
        """Look at these too; said once.

        Raises:
            KeyError: there is no gauge of this name.
        """
        ...

    def count_error(self, endpoint: str, status: int, code: str) -> None:
        """Count a refusal; ``endpoint`` is a pattern of ours, and nothing that a stranger wrote."""
        ...

    def observe_loop_lag(self, late: float) -> None:
        """Hear by how many seconds the hub is late, and look at the gauges."""
        ...

    def render(self) -> Exposition:
        """Give what there is to see. May wait for the stores.

        Raises:
            NotFound: nothing is measured here; the text says what to install.
        """
        ...


class NullMetrics:
    """Measure nothing."""

    def register_gauges(self, gauges: Gauges, stores: HealthChecks) -> None:
        """Look at nothing."""

    def count_error(self, endpoint: str, status: int, code: str) -> None:
        """Count nothing."""

    def observe_loop_lag(self, late: float) -> None:
        """Leave it be."""

    def render(self) -> Exposition:
        raise NotFound('Nothing is measured here: pip install "persona_stream[metrics]", and start again')

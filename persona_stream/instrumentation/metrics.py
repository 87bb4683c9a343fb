"""Contract of metrics that belong to no run: errors, event loop lag, gauges and health checks."""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from persona_stream.errors import NotFound

Gauges = Mapping[str, Callable[[], float]]
"""Functions that read a value, by the names of the gauges. They must not block."""

HealthChecks = Mapping[str, Callable[[], Sequence[str]]]
"""Functions that return the unavailable services of a store, by the store's name. They may block for two seconds."""


class Exposition(Struct, frozen=True):
    """Metrics in the format of a monitoring system."""

    body: bytes
    content_type: str


class Metrics:
    """Metrics of a process; this base class has no library and records nothing. Only ``render`` may block."""

    def register_gauges(self, gauges: Gauges, stores: HealthChecks) -> None:
        """Register the gauges and health checks; called once.

        Raises:
            KeyError: there is no gauge of such a name.
        """

    def count_error(self, endpoint: str, status: int, code: str) -> None:
        """Count an error response; ``endpoint`` is the pattern of a route, never a client's path."""

    def observe_loop_lag(self, seconds: float) -> None:
        """Record the lag of the event loop, and read the gauges."""

    def render(self) -> Exposition:
        """Return the metrics. May wait for the health checks.

        Raises:
            NotFound: metrics are not installed; the text says how to install them.
        """
        raise NotFound('Metrics are not installed: pip install "persona_stream[metrics]", and restart the server')

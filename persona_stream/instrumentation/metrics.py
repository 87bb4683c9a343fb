"""Metrics of a server: the contract of those that belong to no run, and the directory that its processes share.

Each process writes files of its own in the directory, and all read them.

Invariants:
    * This module does not import prometheus_client: the library reads the environment variable when it is imported,
      and counts in memory or in files from then on.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from msgspec import Struct

from persona_stream.errors import NotFound
from persona_stream.extras import install_command
from persona_stream.runs.forecasts import Accuracy

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # defined by prometheus_client

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

    def observe_accuracy(self, backend: str, accuracy: Accuracy) -> None:
        """Record the accuracy of the progress of a backend's latest runs."""

    def render(self) -> Exposition:
        """Return the metrics. May wait for the health checks.

        Raises:
            NotFound: metrics are not installed; the text says how to install them.
        """
        raise NotFound(f"Metrics are not installed: {install_command('metrics')}, and restart the server")


@contextmanager
def multiprocess_dir() -> Iterator[None]:
    """Share metrics between this process and its children, in a new directory that is removed at the end."""
    directory = tempfile.mkdtemp(prefix="persona-stream-metrics-")
    owner = os.getpid()
    os.environ[DIRECTORY_VARIABLE] = directory
    try:
        yield
    finally:
        # A child that was forked inside the block leaves it too, while the other processes still need the directory.
        if os.getpid() == owner:
            del os.environ[DIRECTORY_VARIABLE]
            shutil.rmtree(directory, ignore_errors=True)
